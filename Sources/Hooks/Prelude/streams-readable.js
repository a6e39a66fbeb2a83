// ReadableStream's state, its default controller and readers (Streams standard, section 4).
{
  const S = realm.streams;
  const { then, resolved, rejected, handled, Deferred, SizedQueue, PullController, token, illegal } = S;

  class Readable {
    constructor() {
      this.state = "readable";
      this.reader = null;
      this.error = undefined;
      this.disturbed = false;
      this.controller = null;
      this.fixedLength = undefined;
      this.object = null;     // the ReadableStream that shows it, when there is one
    }
    get locked() { return this.reader !== null; }

    close() {
      this.state = "closed";
      const { reader } = this;
      if (reader === null) return;
      reader.closed.resolve(undefined);
      if (!reader.byob) for (const request of reader.take()) request.close();
    }
    fail(error) {
      this.state = "errored";
      this.error = error;
      const { reader } = this;
      if (reader === null) return;
      reader.closed.reject(error);
      for (const request of reader.take()) request.error(error);
    }
    cancel(reason) {
      this.disturbed = true;
      if (this.state === "closed") return resolved(undefined);
      if (this.state === "errored") return rejected(this.error);
      this.close();
      if (this.reader?.byob) for (const request of this.reader.take()) request.close(undefined);
      return then(this.controller.cancelSteps(reason), S.noop);
    }
    /// Gives a chunk (or the end) to the oldest read.
    fulfill(chunk, done) {
      const request = this.reader.requests.shift();
      if (done) request.close(chunk); else request.chunk(chunk);
    }
    get hasDefaultReader() { return this.reader !== null && !this.reader.byob; }
    get hasByobReader() { return this.reader !== null && this.reader.byob; }
    get waiting() { return this.reader === null ? 0 : this.reader.requests.length; }
  }

  class Reader {
    constructor(stream, byob) {
      if (stream.locked) throw new TypeError("the stream is locked to a reader already");
      if (byob && !stream.controller.bytes) throw new TypeError("the stream is not a byte stream");
      this.stream = stream;
      this.byob = byob;
      this.requests = [];
      this.closed = new Deferred();
      stream.reader = this;
      if (stream.state === "closed") this.closed.resolve(undefined);
      else if (stream.state === "errored") this.closed.reject(stream.error);
    }
    take() {
      const { requests } = this;
      this.requests = [];
      return requests;
    }
    read(request) {
      const { stream } = this;
      stream.disturbed = true;
      if (stream.state === "closed") request.close();
      else if (stream.state === "errored") request.error(stream.error);
      else stream.controller.pullSteps(request);
    }
    cancel(reason) { return this.stream.cancel(reason); }
    release() {
      const { stream } = this, released = new TypeError("the reader was released");
      if (stream.state !== "readable") this.closed = new Deferred();
      this.closed.reject(released);
      stream.controller.releaseSteps();
      stream.reader = null;
      this.stream = null;
      for (const request of this.take()) request.error(released);
    }
  }

  class DefaultController extends PullController {
    size = null;   // defined, not assigned: a setter on Object.prototype is nobody's strategy
    constructor(stream, mark, size) {
      super(stream, mark);
      this.queue = new SizedQueue();
      this.size = size;
    }
    get bytes() { return false; }
    get queued() { return this.queue.total; }
    forget() { this.pullAlgorithm = this.cancelAlgorithm = this.size = null; }
    close() {
      if (!this.open) return;
      this.closing = true;
      if (this.queue.length > 0) return;
      this.forget();
      this.stream.close();
    }
    enqueue(chunk) {
      if (!this.open) return;
      if (this.stream.waiting > 0) {
        this.stream.fulfill(chunk, false);
      } else {
        try {
          this.queue.push(chunk, this.size === S.one ? 1 : Reflect.apply(this.size, undefined, [chunk]));
        } catch (error) {
          this.error(error);
          throw error;
        }
      }
      this.pullIfNeeded();
    }
    error(error) {
      if (this.stream.state !== "readable") return;
      this.queue.clear();
      this.forget();
      this.stream.fail(error);
    }
    cancelSteps(reason) {
      this.queue.clear();
      const cancel = this.cancelAlgorithm;
      this.forget();
      return cancel(reason);
    }
    pullSteps(request) {
      if (this.queue.length === 0) {
        this.stream.reader.requests.push(request);
        this.pullIfNeeded();
        return;
      }
      const chunk = this.queue.shift();
      if (this.closing && this.queue.length === 0) {
        this.forget();
        this.stream.close();
      } else {
        this.pullIfNeeded();
      }
      request.chunk(chunk);
    }
    releaseSteps() {}
  }

  // MARK: The public objects

  let controllerOf;
  class ReadableStreamDefaultController {
    #slots;
    constructor(key, slots) {
      if (key !== token) throw new TypeError("Illegal constructor");
      this.#slots = slots;
    }
    get desiredSize() { return this.#slots.desiredSize; }
    close() {
      if (!this.#slots.open) throw new TypeError("close: the stream is closed or errored already");
      this.#slots.close();
    }
    enqueue(chunk = undefined) {
      if (!this.#slots.open) throw new TypeError("enqueue: the stream is closed or errored");
      this.#slots.enqueue(chunk);
    }
    error(error = undefined) { this.#slots.error(error); }
    static { controllerOf = (slots) => (slots.object ??= new ReadableStreamDefaultController(token, slots)); }
  }
  realm.brand(ReadableStreamDefaultController);

  /// A read request that settles a promise with {value, done}.
  class PromisedRead {
    constructor() { this.deferred = new Deferred(); }
    chunk(value) { this.deferred.accept({ value, done: false }); }
    close(value) { this.deferred.accept({ value, done: true }); }
    error(error) { this.deferred.refuse(error); }
  }
  S.PromisedRead = PromisedRead;

  const slotsOfReader = new WeakMap();
  const reader = (object, byob) => {
    const slots = slotsOfReader.get(object);
    if (slots === undefined || slots.byob !== byob) throw illegal();
    return slots;
  };
  const attempt = (run) => { try { return run(); } catch (error) { return rejected(error); } };

  /// What both readers have. `byob`: which one `this` must be.
  S.readerMembers = (type, byob) => {
    const members = {
      get closed() { return attempt(() => reader(this, byob).closed.promise); },
      cancel(reason = undefined) {
        return attempt(() => {
          const slots = reader(this, byob);
          if (slots.stream === null) throw new TypeError("cancel: the reader was released");
          return slots.cancel(reason);
        });
      },
      releaseLock() {
        const slots = reader(this, byob);
        if (slots.stream !== null) slots.release();
      },
    };
    for (const [key, property] of Object.entries(Object.getOwnPropertyDescriptors(members))) Object.defineProperty(type.prototype, key, property);
    realm.brand(type);
  };

  class ReadableStreamDefaultReader {
    constructor(stream) {
      realm.needs(arguments.length, 1, "ReadableStreamDefaultReader");
      slotsOfReader.set(this, new Reader(realm.streamSlots(stream), false));
    }
    read() {
      return attempt(() => {
        const slots = reader(this, false);
        if (slots.stream === null) throw new TypeError("read: the reader was released");
        const request = new PromisedRead();
        slots.read(request);
        return request.deferred.promise;
      });
    }
  }
  S.readerMembers(ReadableStreamDefaultReader, false);

  /// A stream of the gateway's own, without public parts.
  S.readable = (pull, cancel, mark = 1, size = S.one) => {
    const stream = new Readable();
    new DefaultController(stream, mark, size).begin(S.noop, pull, cancel);
    return stream;
  };
  Object.assign(S, { Readable, Reader, DefaultController, controllerOf, slotsOfReader, readerSlots: reader, attempt });
  realm.expose({ ReadableStreamDefaultController, ReadableStreamDefaultReader });
}
