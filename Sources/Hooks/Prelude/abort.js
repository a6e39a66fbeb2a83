// AbortController and AbortSignal (DOM standard, section 3).
{
  const { DOMException, Event, EventTarget } = realm;
  const make = Symbol("make");
  let abort;

  class AbortSignal extends EventTarget {
    #aborted = false;
    #reason = undefined;
    #dependents = null;
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
      const result = new AbortSignal(make);
      const sources = [...signals];
      for (const source of sources) {
        if (!(source instanceof AbortSignal)) throw new TypeError("AbortSignal.any: a member is not an AbortSignal");
      }
      const done = sources.find((source) => source.#aborted);
      if (done) abort(result, done.#reason);
      else for (const source of sources) (source.#dependents ??= []).push(result);
      return result;
    }
    static {
      abort = (signal, reason) => {
        if (signal.#aborted) return;
        signal.#aborted = true;
        signal.#reason = reason === undefined ? new DOMException("This operation was aborted", "AbortError") : reason;
        realm.dispatch(signal, new Event("abort"), realm.reportError);
        const dependents = signal.#dependents ?? [];
        signal.#dependents = null;
        for (const one of dependents) abort(one, signal.#reason);
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
