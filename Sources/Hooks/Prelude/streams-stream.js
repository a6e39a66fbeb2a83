// ReadableStream as hooks see it: constructor, pipes, iteration (Streams standard, section 4.2).
{
  const S = realm.streams;
  const { then, resolved, rejected, handled, token, attempt } = S;
  let slotsOf, make;

  function sourceOf(value) {
    if (typeof value !== "object" && typeof value !== "function" || value === null) throw new TypeError("ReadableStream: the source is not an object");
    const allocate = value.autoAllocateChunkSize;
    let size;
    if (allocate !== undefined) {
      size = Math.trunc(Number(allocate));
      if (!Number.isFinite(Number(allocate)) || size < 0 || size > Number.MAX_SAFE_INTEGER) throw new TypeError("ReadableStream: autoAllocateChunkSize is not a count");
    }
    const cancel = S.callback(value.cancel, "the source's cancel"), pull = S.callback(value.pull, "the source's pull");
    const start = S.callback(value.start, "the source's start");
    const type = value.type === undefined ? undefined : `${value.type}`;
    if (type !== undefined && type !== "bytes") throw new TypeError(`ReadableStream: the source type "${realm.clip(type, 40)}" is not known`);
    return { allocate: size, cancel, pull, start, type };
  }

  function begin(slots, source, given, strategy) {
    let controller, object;
    if (given.type === "bytes") {
      if (strategy.size !== undefined) throw new RangeError("ReadableStream: a byte stream has no size function");
      if (given.allocate === 0) throw new TypeError("ReadableStream: autoAllocateChunkSize is 0");
      controller = new S.ByteController(slots, S.mark(strategy, 0), given.allocate);
      object = S.byteControllerOf(controller);
    } else {
      controller = new S.DefaultController(slots, S.mark(strategy, 1), strategy.size ?? S.one);
      object = S.controllerOf(controller);
    }
    const pull = S.algorithm(given.pull, source);
    controller.begin(() => (given.start === undefined ? undefined : Reflect.apply(given.start, source, [object])),
      () => pull(object), S.algorithm(given.cancel, source));
  }

  function pipeOptions(value) {
    const given = S.dictionary(value, "the pipe's options");
    const preventAbort = Boolean(given.preventAbort), preventCancel = Boolean(given.preventCancel);
    const preventClose = Boolean(given.preventClose), { signal } = given;
    if (signal !== undefined && !realm.isSignal(signal)) throw new TypeError("the pipe's signal is not an AbortSignal");
    return { preventAbort, preventCancel, preventClose, signal };
  }

  class ReadableStream {
    #slots;
    constructor(source = S.empty, strategy = undefined, slots = undefined) {
      if (source === token) { this.#slots = slots; slots.object = this; return; }
      if (typeof source !== "object" && typeof source !== "function" || source === null) throw new TypeError("ReadableStream: the source is not an object");
      const marks = S.strategyOf(strategy), given = sourceOf(source);
      this.#slots = new S.Readable();
      this.#slots.object = this;
      begin(this.#slots, source, given, marks);
    }
    get locked() { return this.#slots.locked; }
    cancel(reason = undefined) {
      return attempt(() => {
        if (this.#slots.locked) throw new TypeError("cancel: the stream is locked");
        return this.#slots.cancel(reason);
      });
    }
    getReader(options = undefined) {
      this.#slots;
      const { mode } = S.dictionary(options, "getReader: the argument");
      if (mode === undefined) return new ReadableStreamDefaultReader(this);
      if (`${mode}` !== "byob") throw new TypeError("getReader: the mode is not \"byob\"");
      return new ReadableStreamBYOBReader(this);
    }
    pipeThrough(pair, options = undefined) {
      const slots = this.#slots;
      realm.needs(arguments.length, 1, "pipeThrough");
      if (typeof pair !== "object" && typeof pair !== "function" || pair === null) throw new TypeError("pipeThrough: the argument is not an object");
      const { readable } = pair;
      slotsOf(readable);
      const target = S.writableSlots(pair.writable), given = pipeOptions(options);
      if (slots.locked) throw new TypeError("pipeThrough: the stream is locked");
      if (target.locked) throw new TypeError("pipeThrough: the writable side is locked");
      handled(S.pipe(slots, target, given));
      return readable;
    }
    pipeTo(target, options = undefined) {
      return attempt(() => {
        const slots = this.#slots;
        realm.needs(arguments.length, 1, "pipeTo");
        const to = S.writableSlots(target), given = pipeOptions(options);
        if (slots.locked) throw new TypeError("pipeTo: the stream is locked");
        if (to.locked) throw new TypeError("pipeTo: the target is locked");
        return S.pipe(slots, to, given);
      });
    }
    tee() { return S.tee(this.#slots).map(make); }
    values(options = undefined) {
      const slots = this.#slots;
      const preventCancel = Boolean(S.dictionary(options, "values: the argument").preventCancel);
      return newIterator(new S.Reader(slots, false), preventCancel);
    }
    static from(iterable) {
      realm.needs(arguments.length, 1, "ReadableStream.from");
      return make(fromIterable(iterable));
    }
    static {
      slotsOf = (value) => {
        if (typeof value !== "object" || value === null || !(#slots in value)) throw new TypeError("not a ReadableStream");
        return value.#slots;
      };
      make = (slots) => slots.object ?? new ReadableStream(token, undefined, slots);
      realm.isStream = (value) => typeof value === "object" && value !== null && #slots in value;
    }
  }
  realm.streamSlots = slotsOf;
  realm.brand(ReadableStream);
  Object.defineProperty(ReadableStream, "from", { enumerable: true });
  Object.defineProperty(ReadableStream.prototype, Symbol.asyncIterator, { value: ReadableStream.prototype.values, writable: true, configurable: true });

  // MARK: Iteration (Web IDL section 3.7.10)

  const iterators = new WeakMap();
  const asyncIteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf(async function* () {}).prototype);
  const iteratorPrototype = Object.setPrototypeOf({
    next() { return chained(this, nextChunk); },
    return(value) { return chained(this, (slots) => endIteration(slots, value)); },
  }, asyncIteratorPrototype);
  Object.defineProperty(iteratorPrototype, Symbol.toStringTag, { value: "ReadableStream AsyncIterator", configurable: true });

  function newIterator(reader, preventCancel) {
    const object = Object.create(iteratorPrototype);
    iterators.set(object, { reader, preventCancel, ongoing: null, finished: false });
    return object;
  }
  function chained(object, act) {
    const slots = iterators.get(object);
    if (slots === undefined) return rejected(new TypeError("not an iterator of a ReadableStream"));
    const run = () => act(slots);
    slots.ongoing = slots.ongoing === null ? then(run(), (one) => one) : then(slots.ongoing, run, run);
    return slots.ongoing;
  }
  function nextChunk(slots) {
    if (slots.finished) return resolved({ value: undefined, done: true });
    const request = new S.PromisedRead(), { reader } = slots;
    const { chunk, close, error } = request;
    slots.reader.read({
      chunk: (value) => chunk.call(request, value),
      close: () => { slots.finished = true; reader.release(); close.call(request, undefined); },
      error: (reason) => { slots.finished = true; reader.release(); error.call(request, reason); },
    });
    return request.deferred.promise;
  }
  function endIteration(slots, value) {
    const end = () => ({ value, done: true });
    if (slots.finished) return resolved(end());
    slots.finished = true;
    const { reader } = slots;
    if (slots.preventCancel) { reader.release(); return resolved(end()); }
    const cancelled = reader.cancel(value);
    reader.release();
    return then(cancelled, end);
  }

  /// ReadableStream.from: pulls from an iterator.
  function fromIterable(iterable) {
    let method = iterable?.[Symbol.asyncIterator];
    const isAsync = method !== undefined && method !== null;
    if (!isAsync) method = iterable?.[Symbol.iterator];
    if (typeof method !== "function") throw new TypeError("ReadableStream.from: the argument is not iterable");
    const iterator = Reflect.apply(method, iterable, []);
    if (typeof iterator !== "object" || iterator === null) throw new TypeError("ReadableStream.from: the iterator is not an object");
    const { next } = iterator;
    const step = async (result) => {
      const one = await result;
      if (typeof one !== "object" && typeof one !== "function" || one === null) throw new TypeError("ReadableStream.from: the iterator gave no object");
      if (one.done) { stream.controller.close(); return; }
      stream.controller.enqueue(isAsync ? one.value : await one.value);
    };
    const stream = S.readable(() => attempt(() => step(Reflect.apply(next, iterator, []))), (reason) => attempt(async () => {
      const end = iterator.return;
      if (end === undefined || end === null) return;
      const result = await Reflect.apply(end, iterator, [reason]);
      if (typeof result !== "object" || result === null) throw new TypeError("ReadableStream.from: return() gave no object");
    }), 0);
    return stream;
  }

  realm.streamDisturbed = (stream) => slotsOf(stream).disturbed;
  /// Takes a stream out of use because its bytes are read some other way: it stays locked.
  realm.streamSpend = (stream) => {
    const slots = slotsOf(stream);
    new S.Reader(slots, false);
    slots.disturbed = true;
    slots.controller.queue.length = 0;
    if (slots.state === "readable") slots.close();
  };
  realm.deferred = () => {
    const one = new S.Deferred();
    return { promise: handled(one.promise), resolve: (value) => one.resolve(value), reject: (error) => one.reject(error) };
  };
  S.show = make;
  realm.expose({ ReadableStream });
}
