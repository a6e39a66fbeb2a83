// Last file of the prelude: what the host calls. The order and the names are those of HookEntry in Swift.
{
  const { phases, actions, openCall, keepCall, closeCall, isRequest, isResponse, stageRequest, stageResponse, answerRequest, answerResponse, newContext } = realm;
  const codes = { proceed: 0, pending: 1, respond: 2, deny: 3, tail: 16 };
  const failures = { error: 0, badReturn: 1, origin: 2 };
  const names = ["onRequest", "onResponse", "onError", "fetch", "scheduled", "onWebSocketMessage"];
  const listeners = ["request", "response", "error", "fetch", "scheduled", "websocketmessage"];
  let handlers = null, env = null, azionEnv = {};
  // What code written for Azion asks for by this name.
  const networkList = Object.freeze({
    contains(list, value) {
      realm.needs(arguments.length, 2, "contains");
      const found = native.inList(`${list}`, `${value}`);
      if (found === null) throw new TypeError(`the list ${list} is not granted to this function`);
      return found;
    },
  });
  const Azion = Object.freeze({ KV: realm.AzionKV, networkList, get upgradeWebSocket() { return globalThis.upgradeWebSocket; }, env: Object.freeze({ get: (name) => (Object.hasOwn(azionEnv, name) ? azionEnv[name] : undefined) }) });
  realm.expose({ Azion });

  class BadReturn extends TypeError {}

  function install(namespace, config) {
    handlers = namespace.default ?? {};
    if (typeof handlers === "function") handlers = ofClass(handlers);
    if (typeof handlers !== "object") throw new TypeError("the default export is not an object with handlers");
    const granted = { ...config.variables };
    config.upstreams.forEach((name, index) => { granted[name] = realm.newFetcher(index, name); });
    for (const [name, key] of Object.entries(config.keys ?? {})) Object.defineProperty(granted, name, { ...realm.boundKey(name, key), enumerable: true });
    realm.newStores(config.stores).forEach((store, index) => { granted[config.stores[index]] = store; });
    env = Object.freeze(granted);
    azionEnv = config.variables;
    realm.reachesOutside = config.outside;
    realm.heldBack = config.heldBack ?? [];
    if (config.answers) realm.openBox();
    let mask = 0;
    for (let phase = 0; phase < names.length; phase++) {
      if (typeof handlers[names[phase]] === "function" || realm.hasListener(listeners[phase])) mask |= 1 << phase;
    }
    if (typeof handlers.firewall === "function" || realm.hasListener("firewall")) mask |= 1;
    realm.current = null;
    return mask;
  }

  /// Of a class (Cloudflare's WorkerEntrypoint) each call has an object of its own, made with `ctx` and `env`.
  function ofClass(type) {
    const made = {};
    for (const name of [...names, "firewall"]) {
      if (typeof type.prototype?.[name] !== "function") continue;
      made[name] = name === "onWebSocketMessage" ? (data, ctx, given) => new type(ctx, given)[name](data, ctx, given)
        : (first, given, ctx) => new type(ctx, given)[name](first, given, ctx);
    }
    return made;
  }

  /// Runs the handler of a phase; what it returns. The two that most calls are of come first, in few steps: what every call does should
  /// be small enough for V8 to make one piece of code of it. Handlers by names that are written out: a lookup in one step.
  function invoke(call) {
    const { phase } = call;
    const handler = phase === phases.request ? handlers.onRequest ?? handlers.firewall : phase === phases.response ? handlers.onResponse : undefined;
    if (typeof handler !== "function") return invokeOther(call, phase);
    return handler.call(handlers, phase === phases.request ? call.liveRequest : call.liveResponse, env, newContext(call));
  }

  function invokeOther(call, phase) {
    if (phase === phases.webSocket) return invokeMessage(call);
    const handler = phase === phases.error ? handlers.onError : phase === phases.fetch ? handlers.fetch : phase === phases.scheduled ? handlers.scheduled : undefined;
    if (typeof handler !== "function") return invokeListeners(call);
    const first = phase === phases.error ? call.gatewayError : phase === phases.scheduled ? realm.newController(call) : call.liveRequest;
    return handler.call(handlers, first, env, newContext(call));
  }

  function invokeMessage(call) {
    const handler = handlers.onWebSocketMessage;
    if (typeof handler !== "function") return undefined;
    return handler.call(handlers, native.message(call.slot, call.epoch), newContext(call), env);
  }

  /// Nothing: pass it on. A string or bytes: send that. null: drop it.
  function settleMessage(call, value) {
    const { slot, epoch } = call;
    keepState(call);
    if (call.action === actions.deny) { native.setStatus(slot, epoch, call.denyStatus, ""); return codes.deny; }
    if (value === undefined) return codes.proceed;
    if (value !== null && typeof value !== "string" && !ArrayBuffer.isView(value) && !(value instanceof ArrayBuffer)) {
      throw new BadReturn(`onWebSocketMessage() returned ${describe(value)}`);
    }
    native.setMessage(slot, epoch, value);
    return codes.proceed;
  }

  function invokeListeners(call) {
    const type = call.phase === phases.request && !realm.hasListener("request") ? "firewall" : listeners[call.phase];
    const event = new realm.ExchangeEvent(type, call, env);
    realm.dispatch(realm.globalTarget, event, (error) => { throw error; });
    if (call.phase === phases.fetch && !realm.eventAnswered(event)) return call.liveRequest;
    return realm.eventResult(event);
  }

  /// Hands the result of a handler to the host; its code.
  function settle(call, value) {
    const { slot, epoch, phase } = call;
    if (phase === phases.webSocket) return settleMessage(call, value);
    let code = codes.proceed;
    if (phase === phases.scheduled) return code;
    if (value === undefined || value === null) {
      if (phase === phases.fetch) throw new BadReturn("fetch() must return a Response");
      if (call.action === actions.deny) { native.setStatus(slot, epoch, call.denyStatus, ""); code = codes.deny; }
      else if (phase === phases.request && call.request) stageRequest(call.request, slot, epoch);
      else if (phase === phases.response && call.response) stageResponse(call.response, slot, epoch);
    } else if (isResponse(value)) {
      stageResponse(value, slot, epoch);
      code = phase === phases.response && value === call.response ? codes.proceed : codes.respond;
    } else if (isRequest(value) && (phase === phases.request || (phase === phases.fetch && value === call.request))) {
      stageRequest(value, slot, epoch);
    } else {
      throw new BadReturn(`${names[phase]}() returned ${describe(value)}`);
    }
    keepState(call);
    return code;
  }

  /// Ends a call whose handler returned nothing: its code, or a text where all that is left to say is one edit (`answerHeaders`).
  function endNothing(call) {
    const { phase } = call;
    if (phase > phases.response || call.action !== actions.none) return close(call, settle(call, undefined));
    if (call.state !== undefined) keepState(call);
    let text = null;
    if (phase === phases.request) {
      if (call.request !== null) text = answerRequest(call.request, call);
    } else if (call.response !== null) text = answerResponse(call.response, call);
    const code = close(call, codes.proceed);
    return text === null ? code : text;
  }

  function describe(value) {
    if (isRequest(value)) return "a Request, which this phase cannot use";
    return typeof value === "object" ? `an object that is no ${"Request or Response"}` : `a ${typeof value}`;
  }

  function keepState(call) {
    if (call.state === undefined) return;
    native.setState(call.slot, call.epoch, realm.pack(call.state));
  }

  function close(call, code) {
    call.finished = true;
    if (call.tail > 0) return code | codes.tail;
    if (call.outgoing) realm.cancelOutgoing(call, new TypeError("the exchange ended"));
    closeCall(call);
    return code;
  }

  const isThenable = (value) => (typeof value === "object" || typeof value === "function") && value !== null && typeof value.then === "function";

  function start(slot, epoch, phase, binding, brought, text) {
    const call = openCall(slot, epoch, phase, realm.bindings[binding], brought, text);
    let code = codes.pending;
    try {
      const value = invoke(call);
      if (value === undefined) code = endNothing(call);
      else if (isThenable(value)) follow(call, value);
      else code = close(call, settle(call, value));
    } catch (error) {
      failCall(call, error);
    }
    if (!call.closed) keepCall(call);
    return code;
  }

  function follow(call, promise) {
    Promise.resolve(promise).then((result) => complete(call, result), (error) => { if (!call.left) failCall(call, error); });
  }

  /// The promise of an asynchronous handler was fulfilled.
  function complete(call, value) {
    realm.current = call;
    if (call.finished) return;
    try {
      const { slot, epoch } = call, code = value === undefined ? endNothing(call) : close(call, settle(call, value));
      if (typeof code === "string") native.finish(slot, epoch, codes.proceed, code);
      else native.finish(slot, epoch, code);
    } catch (error) {
      failCall(call, error);
    }
  }

  /// Ends a call with what was thrown. After the answer, in waitUntil work, it is only reported.
  function failCall(call, error) {
    realm.current = call;
    if (call.finished) { if (call.socket === null) realm.reportError(error); else realm.failSocket(call, error); return; }
    const kind = error instanceof BadReturn ? failures.badReturn : error !== null && error === call.originError ? failures.origin : failures.error;
    // What was given to waitUntil may be the report of this very failure.
    const goesOn = realm.leaveCall(call, error);
    native.fail(call.slot, call.epoch, kind, error, goesOn);
  }
  realm.failCall = failCall;

  /// Settles what the host owes a call.
  function settleWait(slot, epoch, key, value, error) {
    const call = realm.callAt(slot, epoch);
    const waiting = call?.owed(key);
    if (!waiting) return;
    realm.current = call;
    if (error === undefined) waiting.resolve(value);
    else waiting.reject(error);
  }

  // Every call reads some of the many properties of `realm`.
  realm.layOut(realm);

  /// The answer is complete, or will not be: nobody takes the rest of what is sent for it.
  function settleAnswer(slot, epoch, id, key, value, error) {
    const call = realm.callAt(slot, epoch);
    if (call !== null) realm.stopAsk(call, id, error ?? new TypeError("the answer came before the whole body was sent"));
    settleWait(slot, epoch, key, value, error);
  }

  return {
    install,
    bind: realm.bind,
    start,
    bodyArrived(slot, epoch, side, bytes) { settleWait(slot, epoch, `body ${side}`, bytes); },
    bodyFailed(slot, epoch, side, message) {
      settleWait(slot, epoch, `body ${side}`, undefined, new TypeError(message));
      settleWait(slot, epoch, `chunk ${side}`, undefined, new TypeError(message));
    },
    answered(slot, epoch, id, status, headers, bytes) { settleAnswer(slot, epoch, id, `answer ${id}`, { status, headers, bytes }); },
    answering(slot, epoch, id, status, headers) { settleWait(slot, epoch, `answer ${id}`, { status, headers, bytes: null }); },
    answerChunk(slot, epoch, id, bytes) { settleWait(slot, epoch, `part ${id}`, bytes); },
    answerEnd(slot, epoch, id) { settleAnswer(slot, epoch, id, `part ${id}`, null); },
    askRoom(slot, epoch, id) { realm.bodyRoom(slot, epoch, id + 2); },
    upgraded(slot, epoch, id, headers) { settleWait(slot, epoch, `answer ${id}`, { upgraded: true, headers }); },
    answerFailed(slot, epoch, id, message) {
      settleAnswer(slot, epoch, id, `answer ${id}`, undefined, new TypeError(message));
      settleWait(slot, epoch, `part ${id}`, undefined, new TypeError(message));
    },
    originArrived(slot, epoch) {
      const call = realm.callAt(slot, epoch);
      if (call) settleWait(slot, epoch, "origin", call.liveResponse);
    },
    originFailed(slot, epoch, message) {
      const call = realm.callAt(slot, epoch);
      if (!call) return;
      call.originError = new TypeError(message);
      settleWait(slot, epoch, "origin", undefined, call.originError);
    },
    fire: realm.fireTimer,
    rejections() {
      realm.unhandled(native.takeRejections(false));
      realm.handledLate(native.takeRejections(true));
    },
    /// Nobody waits for the answer any more; 1 when the call stays for what was given to waitUntil.
    leave(slot, epoch) {
      const call = realm.callAt(slot, epoch);
      if (!call) return 0;
      realm.current = call;
      const error = new realm.DOMException("the exchange ended", "AbortError");
      call.finished = true;
      if (call.signal !== null) realm.abortSignal(call.signal, error);
      return realm.leaveCall(call, error) ? 1 : 0;
    },
    abandon(slot, epoch) {
      const call = realm.callAt(slot, epoch);
      if (!call) return;
      call.finished = true;
      if (call.signal !== null) realm.abortSignal(call.signal, new realm.DOMException("the exchange ended", "AbortError"));
      call.socket = null;
      closeCall(call);
      realm.cancelOutgoing(call, new TypeError("the exchange ended"));
      if (realm.current === call) realm.current = null;
    },
    bodyChunk(slot, epoch, side, bytes) { settleWait(slot, epoch, `chunk ${side}`, bytes); },
    bodyEnd(slot, epoch, side) { settleWait(slot, epoch, `chunk ${side}`, null); },
    bodyRoom: realm.bodyRoom,
    webAssembly: realm.webAssembly,
    ...realm.socketEntries,
    worked(slot, epoch, id, bytes, message) { settleWait(slot, epoch, `work ${id}`, { bytes, message }); },
    stored(slot, epoch, id, kind, value, text) {
      realm.stored((key, result, error) => settleWait(slot, epoch, key, result, error), id, kind, value, text);
    },
  };
}
