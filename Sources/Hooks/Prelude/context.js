// One call of a hook: what belongs to it, and the `ctx` object that the hook sees.
{
  // Numbers shared with HookPhase and HookTextItem in Swift.
  const phases = { request: 0, response: 1, error: 2, fetch: 3, scheduled: 4, webSocket: 5 };
  const items = { requestId: 3, ip: 4, port: 5, tlsVersion: 6, cipher: 7, sni: 8, protocol: 9, sender: 10, ja4: 11, subject: 12, issuer: 13, serial: 14, fingerprint: 15, verified: 16 };
  realm.items = items;
  const actions = { none: 0, deny: 1 };
  const dropStatus = 444;   // for the host: close without an answer
  realm.phases = phases;
  realm.actions = actions;
  realm.bindings = [];
  const calls = [];

  /// Not visible to hooks. `slot` and `epoch` name the call to the host, which refuses them once the call is over.
  class Call {
    constructor(slot, epoch, phase, binding, brought, text) {
      this.slot = slot;
      this.epoch = epoch;
      this.phase = phase;
      this.binding = binding;
      this.request = null;
      this.response = null;
      this.finished = false;
      this.closed = false;     // nothing goes on any more
      this.brought = brought;  // the field whose value the host gave along: side | number << 1
      this.lastRead = text;    // the field's value that was read last, or that one
    }
    get liveRequest() { return (this.request ??= realm.liveRequest(this.slot, this.epoch, this.phase === 1 || this.phase === 2 || this.phase === 5)); }
    get liveResponse() { return (this.response ??= realm.liveResponse(this.slot, this.epoch)); }
    get gatewayError() { return (this.error ??= Object.freeze(native.failure(this.slot, this.epoch))); }

    wait(key) {
      return new Promise((resolve, reject) => { (this.waiting ??= new Map()).set(key, { resolve, reject }); });
    }
    owed(key) {
      const found = this.waiting?.get(key);
      this.waiting?.delete(key);
      return found;
    }
  }

  // What few calls need stands here until one sets it: most objects stay small.
  Object.assign(Call.prototype, {
    error: null, state: undefined, action: actions.none, denyStatus: 403, tail: 0, timers: null,
    left: false,        // nobody waits for what its handler returns
    signal: null,       // ctx.signal, once asked for
    outgoing: null,     // by side: bodies that this call makes
    socket: null,       // the hook's end of the client's WebSocket
    links: null,        // by number: those to upstreams
    waiting: null,      // key -> {resolve, reject}: what the host still owes this call
    sent: false,        // fetch(): the request went to the origin
    bodySent: false,    // and the client's body with it, as it was
    originError: null,
  });
  Object.setPrototypeOf(Call.prototype, null);   // no setter on Object.prototype sees a call

  realm.openCall = (slot, epoch, phase, binding, brought, text) => (realm.current = new Call(slot, epoch, phase, binding, brought, text));
  /// Until its handler has returned, a call is found because it is the current one; from then on by its slot.
  realm.keepCall = (call) => { calls[call.slot] = call; };
  realm.callAt = (slot, epoch) => {
    const now = realm.current;
    if (now !== null && now.slot === slot && now.epoch === epoch && !now.closed) return now;
    return calls[slot]?.epoch === epoch ? calls[slot] : null;
  };
  /// Throws unless the call is under way. Only for better messages: the host checks again whenever data is asked for.
  realm.alive = (slot, epoch) => {
    const now = realm.current;
    if (now !== null && now.slot === slot && now.epoch === epoch && !now.finished) return;
    const call = calls[slot];
    if (call === undefined || call.epoch !== epoch || call.finished) throw new TypeError("this object was used after its request ended");
  };
  realm.closeCall = (call) => {
    call.closed = true;
    if (call.timers !== null) realm.dropTimers(call);
    if (call.waiting !== null) call.waiting = null;
    if (calls[call.slot] === call) calls[call.slot] = undefined;
  };

  /// The next chunk of a live body; null at its end.
  realm.pullLiveBody = (slot, epoch, side) => {
    const call = realm.callAt(slot, epoch);
    if (call === null) return Promise.reject(new TypeError("this body was read after its request ended"));
    if (side === 0 && call.bodySent) return Promise.reject(new TypeError("the body was sent to the origin"));
    native.pullBody(slot, epoch, side);
    return call.wait(`chunk ${side}`);
  };

  /// After the answer the call stays as long as `waitUntil` work or a body of its own is under way.
  realm.endIfDone = (call) => {
    if (call.tail > 0 || !call.finished) return;
    if (call.outgoing) realm.cancelOutgoing(call, new TypeError("the exchange ended"));
    realm.closeCall(call);
    native.tailDone(call.slot, call.epoch);
  };

  /// Nobody waits for the answer, or it failed: what only the answer is made of ends. True: `waitUntil` work goes on.
  realm.leaveCall = (call, error) => {
    call.finished = call.left = true;
    if (call.socket !== null) { call.socket = null; call.tail--; }
    // Emptied first: cancelling closes the stream for its reader, and that must not pass for the end of the body.
    for (const side of [0, 1]) {
      const one = call.outgoing?.[side];
      if (one === undefined) continue;
      call.outgoing[side] = undefined;
      call.tail--;
      realm.cancelOne(one, error);
    }
    if (call.tail === 0) {
      realm.closeCall(call);
      realm.cancelOutgoing(call, error);
      return false;
    }
    for (const key of ["origin", "body 0", "body 1", "chunk 0", "chunk 1"]) call.owed(key)?.reject(error);
    return true;
  };

  /// Reads the whole body of a live exchange.
  realm.readLiveBody = (slot, epoch, side) => {
    const call = realm.callAt(slot, epoch);
    if (side === 0 && call.sent) return Promise.reject(new TypeError("the body was sent to the origin"));
    native.readBody(slot, epoch, side);
    return call.wait(`body ${side}`);
  };

  function freezeDeep(value) {
    if (typeof value !== "object" || value === null) return value;
    for (const key of Object.keys(value)) freezeDeep(value[key]);
    return Object.freeze(value);
  }
  realm.bind = (index, args, name, file, line) => {
    realm.bindings[index] = { args: freezeDeep(args), rule: Object.freeze({ name, file, line }) };
  };

  /// What outlives the answer: the call stays until every promise settled or the host's limit is reached.
  function waitUntil(call, promise) {
    if (call.finished && call.tail === 0) throw new TypeError("waitUntil: the request is over");
    call.tail++;
    const done = () => {
      call.tail--;
      realm.endIfDone(call);
    };
    Promise.resolve(promise).then(done, (error) => {
      realm.current = call;
      realm.reportError(error);
      done();
    });
  }
  realm.waitUntil = waitUntil;

  function deny(call, status = 403) {
    const code = Math.trunc(Number(status));
    if (!(code >= 200 && code <= 599)) throw new RangeError(`deny: the status ${status} is outside 200 to 599`);
    call.action = actions.deny;
    call.denyStatus = code;
  }
  realm.deny = deny;

  class Variables {
    #call;
    constructor(call) { this.#call = call; }
    get(name) { return native.variable(this.#call.slot, this.#call.epoch, `${name}`); }
    set(name, value) { native.setVariable(this.#call.slot, this.#call.epoch, `${name}`, `${value}`); }
  }

  /// What is left of the call's limits. CPU time as of the beginning of this turn.
  class Budget {
    #call;
    constructor(call) { this.#call = call; }
    get cpuMs() { return native.budget(this.#call.slot, this.#call.epoch, 0); }
    get memory() { return native.budget(this.#call.slot, this.#call.epoch, 1); }
    get subrequests() { return native.budget(this.#call.slot, this.#call.epoch, 2); }
  }
  realm.brand(Budget);

  const traceparent = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

  class Context {
    #call; #client = null; #vars = null; #budget = null;
    constructor(call) { this.#call = call; }
    get args() { return this.#call.binding.args; }
    get rule() { return this.#call.binding.rule; }
    get request() { return this.#call.liveRequest; }
    get requestId() { return this.#text(items.requestId); }
    get traceparent() {
      const sent = native.header(this.#call.slot, this.#call.epoch, 0, "traceparent");
      if (sent !== null && traceparent.test(sent)) return sent;
      const id = this.requestId;
      return `00-${id}-${id.slice(16)}-00`;
    }
    get budget() { return (this.#budget ??= new Budget(this.#call)); }
    /// In onWebSocketMessage: "client" or "origin".
    get from() { return this.#call.phase === phases.webSocket ? this.#text(items.sender) : undefined; }
    get state() {
      const call = this.#call;
      if (call.state !== undefined) return call.state;
      const packed = native.state(call.slot, call.epoch);
      return (call.state = packed === null ? {} : realm.unpack(packed));
    }
    get vars() { return (this.#vars ??= new Variables(this.#call)); }
    get client() {
      if (this.#client === null) {
        const version = this.#text(items.tlsVersion);
        const tls = version === null ? null : Object.freeze({
          version, cipher: this.#text(items.cipher), sni: this.#text(items.sni), ja4: this.#text(items.ja4), certificate: this.#certificate(),
        });
        this.#client = Object.freeze({ ip: this.#text(items.ip), port: Number(this.#text(items.port)), tls });
      }
      return this.#client;
    }
    #certificate() {
      const subject = this.#text(items.subject);
      if (subject === null) return null;
      return Object.freeze({
        subject, issuer: this.#text(items.issuer), serial: this.#text(items.serial), fingerprint: this.#text(items.fingerprint),
        verified: this.#text(items.verified) === "1",
      });
    }
    #text(item) { return native.text(this.#call.slot, this.#call.epoch, item); }
    next(request) { return realm.sendToOrigin(this.#call, request ?? this.#call.liveRequest); }
    waitUntil(promise) { waitUntil(this.#call, promise); }
    passThroughOnException() { native.passThrough(this.#call.slot, this.#call.epoch); }
    deny(status) { deny(this.#call, status); }
    drop() { deny(this.#call, dropStatus); }
    continue() { this.#call.action = actions.none; }
    /// Aborted when the client is gone or the call's time is up.
    get signal() { return (this.#call.signal ??= realm.newSignal()); }
  }
  realm.brand(Context);
  realm.newContext = (call) => new Context(call);

  /// When a run was due, in milliseconds since 1970.
  function scheduledTime(call) { return 1000 * Number(native.variable(call.slot, call.epoch, "scheduled_time")); }
  /// The first argument of scheduled().
  realm.newController = (call) => Object.freeze({ cron: call.binding.args.cron, scheduledTime: scheduledTime(call), type: "scheduled", noRetry() {} });

  /// Arguments as Azion's code reads them, by `args.name` and by `args("name")`.
  function callable(values) {
    if (typeof values !== "object" || values === null || Array.isArray(values)) return values;
    const read = (name) => (Object.hasOwn(values, name) ? values[name] : undefined);
    delete read.name;
    delete read.length;
    for (const key of Object.keys(values)) Object.defineProperty(read, key, { value: values[key], enumerable: true });
    Object.defineProperty(read, "toJSON", { value: () => values });
    return Object.freeze(read);
  }

  /// The event of addEventListener("fetch" | "request" | "response" | "error" | "firewall").
  class ExchangeEvent extends realm.Event {
    #call; #env; #context = null; #args;
    #answer = undefined; #answered = false; #promises = [];
    constructor(type, call, env) {
      super(type);
      this.#call = call;
      this.#env = env;
    }
    get request() { return this.#call.liveRequest; }
    get response() { return this.#call.phase === phases.response ? this.#call.liveResponse : undefined; }
    get error() { return this.#call.phase === phases.error ? this.#call.gatewayError : undefined; }
    get args() { return (this.#args ??= realm.since("event_args_function") ? callable(this.#call.binding.args) : this.#call.binding.args); }
    get cron() { return this.#call.phase === phases.scheduled ? this.#call.binding.args.cron : undefined; }
    get scheduledTime() { return this.#call.phase === phases.scheduled ? scheduledTime(this.#call) : undefined; }
    get env() { return this.#env; }
    get ctx() { return (this.#context ??= new Context(this.#call)); }
    get console() { return globalThis.console; }
    respondWith(answer) {
      if (this.#answered) throw new realm.DOMException("respondWith was called already", "InvalidStateError");
      this.#answered = true;
      this.#answer = answer;
    }
    waitUntil(promise) {
      if (this.type === "firewall") this.#promises.push(promise);
      else waitUntil(this.#call, promise);
    }
    passThroughOnException() { this.ctx.passThroughOnException(); }
    deny(status) { deny(this.#call, status); }
    drop() { deny(this.#call, dropStatus); }
    continue() { this.ctx.continue(); }
    addRequestHeader(name, value) { this.request.headers.append(name, value); }
    /// Azion's: in a request phase the field waits for the answer, whoever makes it.
    addResponseHeader(name, value) {
      if (this.#call.phase === phases.response) this.response.headers.append(name, value);
      else native.addLater(this.#call.slot, this.#call.epoch, `${name}`, `${value}`);
    }
    static {
      /// What the listeners decided: a value, a promise, or nothing. A firewall's decision waits for its promises.
      realm.eventResult = (event) => {
        if (event.#promises.length === 0) return event.#answer;
        return Promise.all(event.#promises).then(() => event.#answer);
      };
      realm.eventAnswered = (event) => event.#answered;
    }
  }
  realm.brand(ExchangeEvent);
  realm.ExchangeEvent = ExchangeEvent;
}
