// AbortController and AbortSignal (DOM standard, section 3).
{
  const { DOMException, Event, EventTarget } = realm;
  const make = Symbol("make");
  let abort, tell;

  class AbortSignal extends EventTarget {
    #aborted = false;
    #reason = undefined;
    #dependents = null;
    #sources = null;
    #algorithms = null;    // what runs before the event: Set of functions
    constructor(token) {
      if (token !== make) throw new TypeError("Illegal constructor");
      super();
    }
    get aborted() { return this.#aborted; }
    get reason() { return this.#reason; }
    throwIfAborted() { if (this.#aborted) throw this.#reason; }
    static abort(reason) {
      const signal = new AbortSignal(make);
      abort(signal, reason);
      return signal;
    }
    static timeout(milliseconds) {
      realm.needs(arguments.length, 1, "AbortSignal.timeout");
      const delay = Number(milliseconds);
      if (!(delay >= 0) || delay > Number.MAX_SAFE_INTEGER) throw new TypeError("AbortSignal.timeout: not a time in milliseconds");
      const signal = new AbortSignal(make);
      setTimeout(() => abort(signal, new DOMException("The operation timed out", "TimeoutError")), delay);
      return signal;
    }
    static any(signals) {
      const sources = [...signals];
      for (const source of sources) {
        if (!(source instanceof AbortSignal)) throw new TypeError("AbortSignal.any: a member is not an AbortSignal");
      }
      return AbortSignal.#dependent(sources);
    }
    static #dependent(sources) {
      const result = new AbortSignal(make);
      const done = sources.find((source) => source.#aborted);
      if (done) { abort(result, done.#reason); return result; }
      // A dependent signal stands for its own sources, so that events fire in the order of the signals' making.
      const roots = new Set(sources.flatMap((source) => source.#sources ?? [source]));
      result.#sources = [...roots];
      for (const root of roots) (root.#dependents ??= []).push(result);
      return result;
    }
    static {
      realm.followSignal = (signal) => AbortSignal.#dependent([signal]);
      realm.isSignal = (value) => typeof value === "object" && value !== null && #aborted in value;
      /// Calls `act` when the signal is aborted; gives back how to stop that.
      realm.whenAborted = (signal, act) => {
        (signal.#algorithms ??= new Set()).add(act);
        return () => { signal.#algorithms?.delete(act); };
      };
      abort = (signal, reason) => {
        if (signal.#aborted) return;
        const why = reason === undefined ? new DOMException("This operation was aborted", "AbortError") : reason;
        const dependents = (signal.#dependents ?? []).filter((one) => !one.#aborted);
        signal.#dependents = null;
        for (const one of [signal, ...dependents]) { one.#aborted = true; one.#reason = why; }
        for (const one of [signal, ...dependents]) tell(one);
      };
      tell = (signal) => {
        const algorithms = signal.#algorithms ?? [];
        signal.#algorithms = null;
        for (const algorithm of algorithms) algorithm();
        realm.dispatch(signal, realm.trust(new Event("abort")), realm.reportError);
      };
    }
  }
  realm.brand(AbortSignal);
  realm.handlerAttribute(AbortSignal, "abort");

  class AbortController {
    #signal = new AbortSignal(make);
    get signal() { return this.#signal; }
    abort(reason) { abort(this.#signal, reason); }
  }
  realm.brand(AbortController);

  realm.AbortSignal = AbortSignal;
  realm.newSignal = () => new AbortSignal(make);
  realm.abortSignal = abort;
  realm.expose({ AbortController, AbortSignal });
}
