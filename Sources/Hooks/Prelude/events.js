// The other events of the minimum common API, message channels, and what the global object tells of errors
// (HTML sections 8.1.4, 9.4; DOM section 2.4).
{
  const { Event, EventTarget, dictionary } = realm;

  function eventClass(name, members) {
    const kept = new WeakMap();
    const type = {
      [name]: class extends Event {
        constructor(kind, init = undefined) {
          realm.needs(arguments.length, 1, name);
          super(kind, init);
          const given = dictionary(init, `${name}: the second argument`), values = {};
          for (const key of Object.keys(members).sort()) {
            const value = given[key];
            values[key] = value === undefined ? members[key].fallback() : members[key].convert(value);
          }
          kept.set(this, values);
        }
      },
    }[name];
    for (const key of Object.keys(members)) {
      Object.defineProperty(type.prototype, key, {
        configurable: true,
        get() {
          const values = kept.get(this);
          if (values === undefined) throw new TypeError("Illegal invocation");
          return values[key];
        },
      });
    }
    realm.brand(type);
    return type;
  }
  const text = { fallback: () => "", convert: (value) => realm.scalars(value) };
  const number = { fallback: () => 0, convert: (value) => value >>> 0 };
  const any = (fallback) => ({ fallback: () => fallback, convert: (value) => value });
  const list = { fallback: () => Object.freeze([]), convert: (value) => Object.freeze([...value]) };
  const promise = {
    fallback() { throw new TypeError("PromiseRejectionEvent: the promise is missing"); },
    convert: (value) => Promise.resolve(value),
  };

  const makeEvents = realm.lazy(["CustomEvent", "ErrorEvent", "PromiseRejectionEvent", "MessageEvent", "CloseEvent"], () => {
    const CustomEvent = eventClass("CustomEvent", { detail: any(null) });
    const ErrorEvent = eventClass("ErrorEvent", { message: text, filename: text, lineno: number, colno: number, error: any(undefined) });
    const PromiseRejectionEvent = eventClass("PromiseRejectionEvent", { promise, reason: any(undefined) });
    const MessageEvent = eventClass("MessageEvent", { data: any(null), origin: text, lastEventId: text, source: any(null), ports: list });
    const CloseEvent = eventClass("CloseEvent", {
      wasClean: { fallback: () => false, convert: Boolean }, code: { fallback: () => 0, convert: (value) => value & 0xffff }, reason: text,
    });
    return { CustomEvent, ErrorEvent, PromiseRejectionEvent, MessageEvent, CloseEvent };
  });
  realm.event = (name, kind, init) => realm.trust(new (makeEvents()[name])(kind, init));

  // MARK: Message channels

  realm.lazy(["MessageChannel", "MessagePort"], () => {
    const token = Symbol("token");
    let join, isPort;
    class MessagePort extends EventTarget {
      #other = null; #queue = []; #started = false; #closed = false; #moved = false; #handler = null;
      constructor(key) {
        if (key !== token) throw new TypeError("Illegal constructor");
        super();
      }
      postMessage(message, options = undefined) {
        realm.needs(arguments.length, 1, "postMessage");
        const given = dictionary(options, "postMessage: the options");
        const list = given[Symbol.iterator] === undefined ? given.transfer : given;
        const transfer = list === undefined ? [] : realm.sequence(list, "postMessage: transfer");
        if (transfer.includes(this)) throw new realm.DOMException("a port cannot be sent through itself", "DataCloneError");
        const to = this.#other, doomed = to !== null && transfer.includes(to);
        const { value, received } = realm.cloneMoving(message, transfer);
        if (to === null || to.#closed || doomed) return;
        to.#queue.push({ data: value, ports: received.filter((one) => isPort(one)) });
        if (to.#started) to.#deliver();
      }
      /// One message for each task: after the microtasks of the one before.
      #deliver() {
        setTimeout(() => {
          if (this.#closed || this.#queue.length === 0) return;
          realm.dispatch(this, realm.event("MessageEvent", "message", this.#queue.shift()), realm.reportException);
        }, 0);
      }
      start() {
        if (this.#started) return;
        this.#started = true;
        for (const _ of this.#queue) this.#deliver();
      }
      close() { this.#closed = true; this.#other = null; this.#queue = []; }
      get onmessage() { return this.#handler?.callback ?? null; }
      set onmessage(callback) {
        if (this.#handler) this.removeEventListener("message", this.#handler.listener);
        this.#handler = null;
        if (typeof callback !== "function") return;
        this.#handler = { callback, listener: (event) => callback.call(this, event) };
        this.addEventListener("message", this.#handler.listener);
        this.start();
      }
      /// A new port in the place of this one, with the messages that nobody has read.
      #move() {
        const port = new MessagePort(token), other = this.#other;
        port.#queue = this.#queue;
        port.#closed = this.#closed;
        port.#other = other;
        if (other !== null) other.#other = port;
        this.close();
        this.#moved = true;
        return port;
      }
      static {
        isPort = (value) => #moved in value;
        realm.transfers.push((value) => (#moved in value ? { usable: !value.#moved && !value.#closed, move: () => value.#move() } : null));
        join = () => {
          const ports = [new MessagePort(token), new MessagePort(token)];
          ports[0].#other = ports[1];
          ports[1].#other = ports[0];
          return ports;
        };
      }
    }
    realm.brand(MessagePort);
    realm.handlerAttribute(MessagePort, "messageerror");

    class MessageChannel {
      #ports = join();
      get port1() { return this.#ports[0]; }
      get port2() { return this.#ports[1]; }
    }
    realm.brand(MessageChannel);
    return { MessageChannel, MessagePort };
  });

  // MARK: The global object

  const handlers = { onerror: null, onunhandledrejection: null, onrejectionhandled: null };
  for (const name of Object.keys(handlers)) {
    const type = name.slice(2);
    let held = null;
    Object.defineProperty(globalThis, name, {
      enumerable: true, configurable: true,
      get: () => held,
      set(value) {
        if (held === null && typeof value === "function") realm.globalTarget.addEventListener(type, run);
        if (typeof value !== "function") realm.globalTarget.removeEventListener(type, run);
        held = typeof value === "function" ? value : null;
      },
    });
    /// onerror is called with five arguments, and true means that the error was dealt with.
    function run(event) {
      if (name !== "onerror") { held.call(globalThis, event); return; }
      if (held.call(globalThis, event.message, event.filename, event.lineno, event.colno, event.error) === true) event.preventDefault();
    }
  }

  let reporting = false;
  /// "Report an exception": an error event, and a log line unless a listener dealt with it.
  realm.reportException = (error) => { if (!realm.errorHandled(error)) realm.reportError(error); };
  /// Tells the listeners of the global object; whether one of them dealt with it.
  realm.errorHandled = (error) => {
    if (!reporting && realm.hasListener("error")) {
      reporting = true;
      const place = /\(?([^\s(]+):(\d+):(\d+)\)?$/m.exec(typeof error?.stack === "string" ? error.stack : "") ?? [];
      const event = realm.event("ErrorEvent", "error", {
        message: `Uncaught ${describe(error)}`, filename: place[1] ?? "", lineno: Number(place[2] ?? 0), colno: Number(place[3] ?? 0),
        error, cancelable: true,
      });
      try { realm.dispatch(realm.globalTarget, event, realm.reportError); } finally { reporting = false; }
      return event.defaultPrevented;
    }
    return false;
  };
  function describe(error) {
    try { return String(error); } catch { return "an error without a text"; }
  }

  /// Promises rejected without a handler: an event each, and a log line unless a listener dealt with it.
  const told = new WeakSet();
  realm.unhandled = (pairs) => {
    for (const [promise, reason] of pairs) {
      if (promise instanceof Promise) told.add(promise);
      let prevented = false;
      if (realm.hasListener("unhandledrejection")) {
        const event = realm.event("PromiseRejectionEvent", "unhandledrejection", { promise, reason, cancelable: true });
        realm.dispatch(realm.globalTarget, event, realm.reportError);
        prevented = event.defaultPrevented;
      }
      if (!prevented) realm.reportRejection(reason);
    }
  };
  realm.handledLate = (pairs) => {
    for (const [promise, reason] of pairs) {
      if (!told.delete(promise) || !realm.hasListener("rejectionhandled")) continue;
      realm.dispatch(realm.globalTarget, realm.event("PromiseRejectionEvent", "rejectionhandled", { promise, reason }), realm.reportError);
    }
  };
}
