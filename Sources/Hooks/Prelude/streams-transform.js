// TransformStream (Streams standard, section 6) and the transforms that platforms share.
{
  const S = realm.streams;
  const { then, resolved, rejected, Deferred, token } = S;

  class Transform {
    constructor(writableMark, writableSize, readableMark, readableSize, started) {
      this.backpressure = undefined;
      this.change = null;
      this.finishing = null;
      this.object = null;
      this.transform = this.flush = this.cancel = null;
      this.writable = S.writable(() => started, (chunk) => this.write(chunk), () => this.close(), (reason) => this.abort(reason),
        writableMark, writableSize);
      this.readable = new S.Readable();
      new S.DefaultController(this.readable, readableMark, readableSize).begin(() => started, () => this.pull(), (reason) => this.cancelled(reason));
      this.setBackpressure(true);
    }
    get controller() { return this.readable.controller; }
    setBackpressure(value) {
      this.change?.resolve(undefined);
      this.change = new Deferred();
      this.backpressure = value;
    }
    forget() { this.transform = this.flush = this.cancel = null; }
    error(error) {
      this.controller.error(error);
      this.errorWritable(error);
    }
    errorWritable(error) {
      this.forget();
      this.writable.controller.errorIfNeeded(error);
      if (this.backpressure) this.setBackpressure(false);
    }
    enqueue(chunk) {
      const { controller } = this;
      if (!controller.open) throw new TypeError("enqueue: the readable side is closed or errored");
      try { controller.enqueue(chunk); } catch (error) {
        this.errorWritable(error);
        throw this.readable.error;
      }
      const full = !controller.wantsPull;
      if (full !== this.backpressure) this.setBackpressure(true);
    }
    terminate() {
      this.controller.close();
      this.errorWritable(new TypeError("the transform was terminated"));
    }
    perform(chunk) {
      return then(this.transform(chunk), undefined, (error) => { this.error(error); throw error; });
    }
    write(chunk) {
      if (!this.backpressure) return this.perform(chunk);
      return then(this.change.promise, () => {
        if (this.writable.state === "erroring") throw this.writable.error;
        return this.perform(chunk);
      });
    }
    abort(reason) {
      if (this.finishing !== null) return this.finishing.promise;
      const { readable } = this;
      return this.finish(this.cancel(reason), () => {
        if (readable.state === "errored") throw readable.error;
        readable.controller.error(reason);
      }, (error) => readable.controller.error(error));
    }
    cancelled(reason) {
      if (this.finishing !== null) return this.finishing.promise;
      const { writable } = this;
      const unblock = () => { if (this.backpressure) this.setBackpressure(false); };
      return this.finish(this.cancel(reason), () => {
        if (writable.state === "errored") throw writable.error;
        writable.controller.errorIfNeeded(reason);
        unblock();
      }, (error) => { writable.controller.errorIfNeeded(error); unblock(); });
    }
    close() {
      if (this.finishing !== null) return this.finishing.promise;
      const { readable } = this;
      return this.finish(this.flush(), () => {
        if (readable.state === "errored") throw readable.error;
        readable.controller.close();
      }, (error) => readable.controller.error(error));
    }
    /// Runs the last algorithm once; close, abort and cancel share its promise.
    finish(result, done, failed) {
      const end = this.finishing = new Deferred();
      this.forget();
      then(result, () => {
        try { done(); } catch (error) { end.reject(error); return; }
        end.resolve(undefined);
      }, (error) => { failed(error); end.reject(error); });
      return end.promise;
    }
    pull() {
      this.setBackpressure(false);
      return this.change.promise;
    }
  }

  /// A transform of the gateway's own. `transform(chunk, stream)` and `flush(stream)` call stream.enqueue.
  S.transform = (transform, flush = S.noop, mark = 1) => {
    const stream = new Transform(mark, S.one, 0, S.one, undefined);
    stream.transform = (chunk) => S.attempt(() => resolved(transform(chunk, stream)));
    stream.flush = () => S.attempt(() => resolved(flush(stream)));
    stream.cancel = () => resolved(undefined);
    return stream;
  };

  // MARK: The public objects

  let controllerOf;
  class TransformStreamDefaultController {
    #slots;
    constructor(key, slots) {
      if (key !== token) throw new TypeError("Illegal constructor");
      this.#slots = slots;
    }
    get desiredSize() { return this.#slots.controller.desiredSize; }
    enqueue(chunk = undefined) { this.#slots.enqueue(chunk); }
    error(error = undefined) { this.#slots.error(error); }
    terminate() { this.#slots.terminate(); }
    static { controllerOf = (slots) => (slots.object ??= new TransformStreamDefaultController(token, slots)); }
  }
  realm.brand(TransformStreamDefaultController);

  class TransformStream {
    #slots;
    constructor(transformer = S.empty, writableStrategy = undefined, readableStrategy = undefined) {
      if (transformer === token) { this.#slots = writableStrategy; return; }
      if (typeof transformer !== "object" && typeof transformer !== "function" || transformer === null) throw new TypeError("TransformStream: the transformer is not an object");
      const writable = S.strategyOf(writableStrategy), readable = S.strategyOf(readableStrategy);
      const cancel = S.callback(transformer.cancel, "the transformer's cancel"), flush = S.callback(transformer.flush, "the transformer's flush");
      const { readableType } = transformer;
      const start = S.callback(transformer.start, "the transformer's start"), transform = S.callback(transformer.transform, "the transformer's transform");
      if (readableType !== undefined || transformer.writableType !== undefined) throw new RangeError("TransformStream: readableType and writableType are reserved");
      const readableMark = S.mark(readable, 0), readableSize = readable.size ?? S.one;
      const started = new Deferred();
      const slots = this.#slots = new Transform(S.mark(writable, 1), writable.size ?? S.one, readableMark, readableSize, started.promise);
      const object = controllerOf(slots);
      const run = transform === undefined ? null : S.algorithm(transform, transformer), end = S.algorithm(flush, transformer);
      slots.transform = run === null
        ? (chunk) => { try { slots.enqueue(chunk); return resolved(undefined); } catch (error) { return rejected(error); } }
        : (chunk) => run(chunk, object);
      slots.flush = () => end(object);
      slots.cancel = S.algorithm(cancel, transformer);
      started.resolve(start === undefined ? undefined : Reflect.apply(start, transformer, [object]));
    }
    get readable() { return S.show(this.#slots.readable); }
    get writable() { const slots = this.#slots; return (slots.shown ??= S.showWritable(slots.writable)); }
    static {
      S.transformSides = (value) => (typeof value === "object" && value !== null && #slots in value ? value.#slots : null);
      S.showTransform = (sides) => new TransformStream(token, sides);
    }
  }
  realm.brand(TransformStream);

  /// An interface with `readable` and `writable` over a transform of the gateway's own.
  S.transformClass = (name, make, members = {}) => {
    const pairs = new WeakMap();
    const pairOf = (self) => {
      const pair = pairs.get(self);
      if (pair === undefined) throw S.illegal();
      return pair;
    };
    const type = {
      [name]: class {
        constructor(...values) {
          const { stream, state } = make(...values);
          pairs.set(this, { readable: S.show(stream.readable), writable: S.showWritable(stream.writable), state });
        }
        get readable() { return pairOf(this).readable; }
        get writable() { return pairOf(this).writable; }
      },
    }[name];
    for (const key of Object.keys(members)) {
      Object.defineProperty(type.prototype, key, { get() { return members[key](pairOf(this).state); }, configurable: true });
    }
    realm.brand(type);
    return type;
  };
  realm.expose({ TransformStream, TransformStreamDefaultController });
}
