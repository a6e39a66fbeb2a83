// What the streams of the Streams standard share: promises that no hook can patch, queues with sizes, strategies.
//
// Each public object keeps its state in a plain object ("slots"), so that streams of the gateway's own (bodies, pipes)
// work without public objects and without looking at what a hook did to prototypes.
{
  const P = Promise;
  const then = Function.prototype.call.bind(P.prototype.then);
  const noop = () => {};
  const resolved = (value) => new P((resolve) => { resolve(value); });
  const rejected = (reason) => new P((_, reject) => { reject(reason); });
  /// A rejection of this promise is nobody's mistake.
  const handled = (promise) => { then(promise, undefined, noop); return promise; };

  class Deferred {
    constructor() {
      this.settled = false;
      this.promise = new P((resolve, reject) => { this.accept = resolve; this.refuse = reject; });
    }
    resolve(value) { this.settled = true; this.accept(value); }
    reject(reason) { this.settled = true; handled(this.promise); this.refuse(reason); }
  }

  /// Section 8.1. `total` is the sum of the sizes.
  class SizedQueue {
    constructor() { this.clear(); }
    clear() { this.items = []; this.head = 0; this.total = 0; }
    get length() { return this.items.length - this.head; }
    push(value, size) {
      const number = Number(size);
      if (!(number >= 0) || number === Infinity) throw new RangeError("the size of a chunk must be a finite number of 0 or more");
      this.items.push({ value, size: number });
      this.total += number;
    }
    shift() {
      const one = this.items[this.head];
      this.items[this.head++] = undefined;
      if (this.head > 64 && this.head * 2 > this.items.length) { this.items = this.items.slice(this.head); this.head = 0; }
      this.total = Math.max(0, this.total - one.size);
      return one.value;
    }
    peek() { return this.items[this.head].value; }
  }

  // Without a prototype: a hook's getters on Object.prototype are not options.
  const empty = Object.freeze(Object.create(null));
  function dictionary(value, what) {
    if (value === undefined || value === null) return empty;
    if (typeof value !== "object" && typeof value !== "function") throw new TypeError(`${what} is not an object`);
    return value;
  }

  function callback(value, what) {
    if (value === undefined) return undefined;
    if (typeof value !== "function") throw new TypeError(`${what} is not a function`);
    return value;
  }

  /// Reads a strategy as the dictionary of Web IDL; checked later, by `mark`.
  function strategyOf(value) {
    const given = dictionary(value, "the queuing strategy"), highWaterMark = given.highWaterMark;
    const number = highWaterMark === undefined ? undefined : Number(highWaterMark);
    return { highWaterMark: number, size: callback(given.size, "the strategy's size") };
  }

  function mark(strategy, fallback) {
    const { highWaterMark } = strategy;
    if (highWaterMark === undefined) return fallback;
    if (!(highWaterMark >= 0)) throw new RangeError("highWaterMark must be a number of 0 or more");
    return highWaterMark;
  }

  /// A method of an underlying source or sink as an algorithm that always gives a promise.
  function algorithm(method, self) {
    if (method === undefined) return () => resolved(undefined);
    return (...values) => {
      try { return resolved(Reflect.apply(method, self, values)); } catch (error) { return rejected(error); }
    };
  }

  function strategyClass(name, size) {
    const marks = new WeakMap();
    const markOf = (self) => {
      if (!marks.has(self)) throw new TypeError("Illegal invocation");
      return marks.get(self);
    };
    const type = {
      [name]: class {
        constructor(init) {
          realm.needs(arguments.length, 1, name);
          const value = dictionary(init, `${name}: the argument`).highWaterMark;
          if (value === undefined) throw new TypeError(`${name}: highWaterMark is missing`);
          marks.set(this, Number(value));
        }
        get highWaterMark() { return markOf(this); }
        get size() { markOf(this); return size; }
      },
    }[name];
    realm.brand(type);
    return type;
  }
  const sizes = { count: { size() { return 1; } }.size, bytes: { size(chunk) { return chunk.byteLength; } }.size };

  /// What the two controllers of a readable stream have in common: they begin, and pull while there is room (Streams
  /// standard, sections 4.6.4 and 4.7.4). Each says how much it has `queued` and what `error` does.
  class PullController {
    constructor(stream, mark) {
      this.stream = stream;
      stream.controller = this;
      this.mark = mark;
      this.started = this.closing = this.pulling = this.pullAgain = false;
      this.object = null;
      this.pullAlgorithm = this.cancelAlgorithm = null;
    }
    begin(start, pull, cancel) {
      this.pullAlgorithm = pull;
      this.cancelAlgorithm = cancel;
      then(resolved(start()), () => { this.started = true; this.pullIfNeeded(); }, (error) => this.error(error));
    }
    get desiredSize() {
      const { state } = this.stream;
      return state === "errored" ? null : state === "closed" ? 0 : this.mark - this.queued;
    }
    get open() { return !this.closing && this.stream.state === "readable"; }
    get wantsPull() {
      if (!this.open || !this.started) return false;
      return this.stream.waiting > 0 || this.desiredSize > 0;
    }
    pullIfNeeded() {
      if (!this.wantsPull) return;
      if (this.pulling) { this.pullAgain = true; return; }
      this.pulling = true;
      then(this.pullAlgorithm(), () => {
        this.pulling = false;
        if (!this.pullAgain) return;
        this.pullAgain = false;
        this.pullIfNeeded();
      }, (error) => this.error(error));
    }
  }

  realm.streams = {
    empty, then, noop, resolved, rejected, handled, Deferred, SizedQueue, PullController, dictionary, callback, strategyOf, mark, algorithm,
    one: sizes.count, illegal: () => new TypeError("Illegal invocation"), token: Symbol("token"),
  };
  realm.expose({
    CountQueuingStrategy: strategyClass("CountQueuingStrategy", sizes.count),
    ByteLengthQueuingStrategy: strategyClass("ByteLengthQueuingStrategy", sizes.bytes),
  });
}
