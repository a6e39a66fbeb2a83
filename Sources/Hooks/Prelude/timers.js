// Timers, microtasks and time. The host keeps the clock; a timer belongs to the call that
// set it and goes when that call ends.
{
  const timers = new Map();

  function owner(what) {
    if (realm.current === null) throw new Error(`${what} works only while a request is handled, not while the module loads`);
    return realm.current;
  }
  realm.owner = owner;

  function delayOf(value) {
    const delay = Math.trunc(Number(value));
    return delay > 0 ? Math.min(delay, 0x7fffffff) : 0;
  }

  function add(what, callback, delay, values, repeat) {
    if (typeof callback !== "function") throw new TypeError(`${what}: the callback must be a function, not text to evaluate`);
    const call = owner(what), wait = delayOf(delay);
    const id = native.setTimer(call.slot, call.epoch, wait);
    timers.set(id, { callback, values, wait: repeat ? Math.max(wait, 1) : -1, call });
    (call.timers ??= new Set()).add(id);
    return id;
  }

  function clear(value) {
    const id = Math.trunc(Number(value));
    const timer = timers.get(id);
    if (!timer) return;
    forget(id, timer);
    native.clearTimer(id);
  }

  function forget(id, timer) {
    timers.delete(id);
    timer.call.timers?.delete(id);
  }

  /// The host's clock reached a timer.
  realm.fireTimer = (id) => {
    const timer = timers.get(id);
    if (!timer) return;
    realm.current = timer.call;
    if (timer.wait < 0) forget(id, timer);
    else native.rearmTimer(timer.call.slot, timer.call.epoch, id, timer.wait);
    try {
      Reflect.apply(timer.callback, globalThis, timer.values);
    } catch (error) {
      failUnlessHandled(timer.call, error);
    }
  };

  /// A throw that no promise and no caller sees: an error event, and the end of the call unless a listener dealt with it.
  function failUnlessHandled(call, error) {
    if (realm.errorHandled(error)) return;
    if (call) realm.failCall(call, error); else realm.reportError(error);
  }

  realm.dropTimers = (call) => {
    if (!call.timers) return;
    for (const id of call.timers) timers.delete(id);
    call.timers = null;
  };

  function queueMicrotask(callback) {
    if (typeof callback !== "function") throw new TypeError("queueMicrotask: the callback must be a function");
    const call = realm.current;
    Promise.resolve().then(() => {
      try { callback(); } catch (error) { failUnlessHandled(call, error); }
    });
  }

  class Performance extends realm.EventTarget {
    #token = true;
    constructor(token) {
      if (token !== timers) throw new TypeError("Illegal constructor");
      super();
    }
    /// Milliseconds since the worker began, in steps of 0.1: fine clocks are for attackers.
    now() { return this.#token && Math.round(realm.now() * 10) / 10; }
    get timeOrigin() { return this.#token && Math.round(Date.now() - realm.now()); }
    toJSON() { return { timeOrigin: this.timeOrigin }; }
  }
  realm.brand(Performance);

  realm.expose({
    setTimeout(callback, delay, ...values) { return add("setTimeout", callback, delay, values, false); },
    setInterval(callback, delay, ...values) { return add("setInterval", callback, delay, values, true); },
    clearTimeout(id) { clear(id); },
    clearInterval(id) { clear(id); },
    queueMicrotask,
    /// A timer as a promise (Cloudflare Workers).
    scheduler: Object.freeze({
      wait(delay, options = undefined) {
        realm.needs(arguments.length, 1, "scheduler.wait");
        const { signal } = realm.dictionary(options, "scheduler.wait: the options");
        return new Promise((resolve, reject) => {
          if (signal?.aborted) { reject(signal.reason); return; }
          const id = add("scheduler.wait", () => resolve(), delay, [], false);
          if (signal !== undefined) realm.whenAborted(signal, () => { clear(id); reject(signal.reason); });
        });
      },
    }),
    Performance,
    performance: new Performance(timers),
    navigator: Object.freeze({ userAgent: "Sluice", hardwareConcurrency: 1, language: "en" }),
    reportError(error) { realm.needs(arguments.length, 1, "reportError"); realm.reportException(error); },
  });
}
