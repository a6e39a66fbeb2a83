// WritableStream (Streams standard, section 5).
{
  const S = realm.streams;
  const { then, resolved, rejected, handled, Deferred, SizedQueue, token, attempt, illegal } = S;

  class Writable {
    constructor() {
      this.state = "writable";
      this.error = undefined;
      this.writer = null;
      this.controller = null;
      this.inFlightWrite = null;
      this.closeRequest = null;
      this.inFlightClose = null;
      this.pendingAbort = null;       // {deferred, reason, wasErroring}
      this.writes = [];
      this.backpressure = false;
    }
    get locked() { return this.writer !== null; }
    get closingOrInFlight() { return this.closeRequest !== null || this.inFlightClose !== null; }

    abort(reason) {
      if (this.state === "closed" || this.state === "errored") return resolved(undefined);
      realm.abortSignal(this.controller.signal, reason);
      if (this.state === "closed" || this.state === "errored") return resolved(undefined);
      if (this.pendingAbort !== null) return this.pendingAbort.deferred.promise;
      const wasErroring = this.state === "erroring";
      this.pendingAbort = { deferred: new Deferred(), reason: wasErroring ? undefined : reason, wasErroring };
      const { promise } = this.pendingAbort.deferred;
      if (!wasErroring) this.startErroring(reason);
      return promise;
    }
    close() {
      if (this.state === "closed" || this.state === "errored") return rejected(new TypeError("close: the stream is closed or errored already"));
      const { promise } = this.closeRequest = new Deferred();
      if (this.writer !== null && this.backpressure && this.state === "writable") this.writer.ready.resolve(undefined);
      this.controller.close();
      return promise;
    }
    addWrite() {
      const one = new Deferred();
      this.writes.push(one);
      return one.promise;
    }
    deal(error) {
      if (this.state === "writable") this.startErroring(error);
      else this.finishErroring();
    }
    startErroring(reason) {
      this.state = "erroring";
      this.error = reason;
      this.writer?.failReady(reason);
      if (this.inFlightWrite === null && this.inFlightClose === null && this.controller.started) this.finishErroring();
    }
    finishErroring() {
      this.state = "errored";
      this.controller.queue.clear();
      for (const write of this.writes) write.reject(this.error);
      this.writes = [];
      const abort = this.pendingAbort;
      if (abort === null) { this.rejectClose(); return; }
      this.pendingAbort = null;
      if (abort.wasErroring) {
        abort.deferred.reject(this.error);
        this.rejectClose();
        return;
      }
      then(this.controller.abortSteps(abort.reason), () => { abort.deferred.resolve(undefined); this.rejectClose(); },
        (error) => { abort.deferred.reject(error); this.rejectClose(); });
    }
    rejectClose() {
      if (this.closeRequest !== null) {
        this.closeRequest.reject(this.error);
        this.closeRequest = null;
      }
      this.writer?.closed.reject(this.error);
    }
    finishWrite() {
      this.inFlightWrite.resolve(undefined);
      this.inFlightWrite = null;
    }
    finishWriteWithError(error) {
      this.inFlightWrite.reject(error);
      this.inFlightWrite = null;
      this.deal(error);
    }
    finishClose() {
      this.inFlightClose.resolve(undefined);
      this.inFlightClose = null;
      if (this.state === "erroring") {
        this.error = undefined;
        if (this.pendingAbort !== null) { this.pendingAbort.deferred.resolve(undefined); this.pendingAbort = null; }
      }
      this.state = "closed";
      this.writer?.closed.resolve(undefined);
    }
    finishCloseWithError(error) {
      this.inFlightClose.reject(error);
      this.inFlightClose = null;
      if (this.pendingAbort !== null) { this.pendingAbort.deferred.reject(error); this.pendingAbort = null; }
      this.deal(error);
    }
    setBackpressure(value) {
      if (this.writer !== null && value !== this.backpressure) {
        if (value) this.writer.ready = new Deferred(); else this.writer.ready.resolve(undefined);
      }
      this.backpressure = value;
    }
  }

  const closeMark = Symbol("close");

  class WritableController {
    size = null;
    constructor(stream, mark, size) {
      this.stream = stream;
      stream.controller = this;
      this.queue = new SizedQueue();
      this.signal = realm.newSignal();
      this.started = false;
      this.size = size;
      this.mark = mark;
      this.object = null;
    }
    begin(start, write, close, abort) {
      this.writeAlgorithm = write;
      this.closeAlgorithm = close;
      this.abortAlgorithm = abort;
      const { stream } = this;
      stream.setBackpressure(this.backpressure);
      then(resolved(start()), () => { this.started = true; this.advance(); }, (error) => { this.started = true; stream.deal(error); });
    }
    get desiredSize() { return this.mark - this.queue.total; }
    get backpressure() { return this.desiredSize <= 0; }
    forget() { this.writeAlgorithm = this.closeAlgorithm = this.abortAlgorithm = this.size = null; }
    close() {
      this.queue.push(closeMark, 0);
      this.advance();
    }
    sizeOf(chunk) {
      if (this.size === S.one || this.size === null) return 1;
      try { return Reflect.apply(this.size, undefined, [chunk]); } catch (error) { this.errorIfNeeded(error); return 1; }
    }
    write(chunk, size) {
      try { this.queue.push(chunk, size); } catch (error) { this.errorIfNeeded(error); return; }
      const { stream } = this;
      if (!stream.closingOrInFlight && stream.state === "writable") stream.setBackpressure(this.backpressure);
      this.advance();
    }
    advance() {
      const { stream } = this;
      if (!this.started || stream.inFlightWrite !== null) return;
      if (stream.state === "erroring") { stream.finishErroring(); return; }
      if (this.queue.length === 0) return;
      const next = this.queue.peek();
      if (next === closeMark) this.processClose(); else this.processWrite(next);
    }
    processClose() {
      const { stream } = this;
      stream.inFlightClose = stream.closeRequest;
      stream.closeRequest = null;
      this.queue.shift();
      const closing = this.closeAlgorithm();
      this.forget();
      then(closing, () => stream.finishClose(), (error) => stream.finishCloseWithError(error));
    }
    processWrite(chunk) {
      const { stream } = this;
      stream.inFlightWrite = stream.writes.shift();
      then(this.writeAlgorithm(chunk), () => {
        stream.finishWrite();
        this.queue.shift();
        if (!stream.closingOrInFlight && stream.state === "writable") stream.setBackpressure(this.backpressure);
        this.advance();
      }, (error) => {
        if (stream.state === "writable") this.forget();
        stream.finishWriteWithError(error);
      });
    }
    errorIfNeeded(error) { if (this.stream.state === "writable") this.error(error); }
    error(error) {
      this.forget();
      this.stream.startErroring(error);
    }
    abortSteps(reason) {
      const abort = this.abortAlgorithm;
      this.forget();
      return abort(reason);
    }
  }

  class Writer {
    constructor(stream) {
      if (stream.locked) throw new TypeError("the stream is locked to a writer already");
      this.stream = stream;
      stream.writer = this;
      this.ready = new Deferred();
      this.closed = new Deferred();
      if (stream.state === "writable" && !stream.closingOrInFlight && stream.backpressure) return;
      if (stream.state === "writable") { this.ready.resolve(undefined); return; }
      if (stream.state === "erroring") { this.ready.reject(stream.error); return; }
      if (stream.state === "closed") { this.ready.resolve(undefined); this.closed.resolve(undefined); return; }
      this.ready.reject(stream.error);
      this.closed.reject(stream.error);
    }
    failReady(error) {
      if (this.ready.settled) this.ready = new Deferred();
      this.ready.reject(error);
    }
    failClosed(error) {
      if (this.closed.settled) this.closed = new Deferred();
      this.closed.reject(error);
    }
    get desiredSize() {
      const { state } = this.stream;
      if (state === "errored" || state === "erroring") return null;
      return state === "closed" ? 0 : this.stream.controller.desiredSize;
    }
    close() { return this.stream.closingOrInFlight ? rejected(new TypeError("close: the stream is closing already")) : this.stream.close(); }
    closeWithErrorPropagation() {
      const { stream } = this;
      if (stream.closingOrInFlight || stream.state === "closed") return resolved(undefined);
      return stream.state === "errored" ? rejected(stream.error) : this.close();
    }
    write(chunk) {
      const { stream } = this, size = stream.controller.sizeOf(chunk);
      if (stream !== this.stream) return rejected(new TypeError("write: the writer was released"));
      if (stream.state === "errored") return rejected(stream.error);
      if (stream.closingOrInFlight || stream.state === "closed") return rejected(new TypeError("write: the stream is closing or closed"));
      if (stream.state === "erroring") return rejected(stream.error);
      const promise = stream.addWrite();
      stream.controller.write(chunk, size);
      return promise;
    }
    release() {
      const released = new TypeError("the writer was released");
      this.failReady(released);
      this.failClosed(released);
      this.stream.writer = null;
      this.stream = null;
    }
  }

  // MARK: The public objects

  let slotsOf, controllerOf, make;
  class WritableStreamDefaultController {
    #slots;
    constructor(key, slots) {
      if (key !== token) throw new TypeError("Illegal constructor");
      this.#slots = slots;
    }
    get signal() { return this.#slots.signal; }
    error(error = undefined) { this.#slots.errorIfNeeded(error); }
    static { controllerOf = (slots) => (slots.object ??= new WritableStreamDefaultController(token, slots)); }
  }
  realm.brand(WritableStreamDefaultController);

  class WritableStream {
    #slots;
    constructor(sink = S.empty, strategy = undefined, slots = undefined) {
      if (sink === token) { this.#slots = slots; return; }
      if (typeof sink !== "object" && typeof sink !== "function" || sink === null) throw new TypeError("WritableStream: the sink is not an object");
      const given = S.strategyOf(strategy);
      const abort = S.callback(sink.abort, "the sink's abort"), close = S.callback(sink.close, "the sink's close");
      const start = S.callback(sink.start, "the sink's start");
      const { type } = sink;
      const write = S.callback(sink.write, "the sink's write");
      if (type !== undefined) throw new RangeError("WritableStream: the sink's type is reserved");
      this.#slots = new Writable();
      const controller = new WritableController(this.#slots, S.mark(given, 1), given.size ?? S.one);
      const object = controllerOf(controller);
      const writeOne = S.algorithm(write, sink);
      controller.begin(() => (start === undefined ? undefined : Reflect.apply(start, sink, [object])),
        (chunk) => writeOne(chunk, object), S.algorithm(close, sink), S.algorithm(abort, sink));
    }
    get locked() { return this.#slots.locked; }
    abort(reason = undefined) {
      return attempt(() => {
        if (this.#slots.locked) throw new TypeError("abort: the stream is locked");
        return this.#slots.abort(reason);
      });
    }
    close() {
      return attempt(() => {
        if (this.#slots.locked) throw new TypeError("close: the stream is locked");
        if (this.#slots.closingOrInFlight) throw new TypeError("close: the stream is closing already");
        return this.#slots.close();
      });
    }
    getWriter() { this.#slots; return new WritableStreamDefaultWriter(this); }
    static {
      slotsOf = (value) => {
        if (typeof value !== "object" || value === null || !(#slots in value)) throw new TypeError("not a WritableStream");
        return value.#slots;
      };
      make = (slots) => new WritableStream(token, undefined, slots);
      S.isWritable = (value) => typeof value === "object" && value !== null && #slots in value;
    }
  }
  realm.brand(WritableStream);

  const writers = new WeakMap();
  const slotsOfWriter = (object) => {
    const slots = writers.get(object);
    if (slots === undefined) throw illegal();
    return slots;
  };
  const held = (object, what) => {
    const slots = slotsOfWriter(object);
    if (slots.stream === null) throw new TypeError(`${what}: the writer was released`);
    return slots;
  };
  class WritableStreamDefaultWriter {
    constructor(stream) {
      realm.needs(arguments.length, 1, "WritableStreamDefaultWriter");
      writers.set(this, new Writer(slotsOf(stream)));
    }
    get closed() { return attempt(() => slotsOfWriter(this).closed.promise); }
    get ready() { return attempt(() => slotsOfWriter(this).ready.promise); }
    get desiredSize() { return held(this, "desiredSize").desiredSize; }
    abort(reason = undefined) { return attempt(() => held(this, "abort").stream.abort(reason)); }
    close() { return attempt(() => held(this, "close").close()); }
    releaseLock() {
      const slots = slotsOfWriter(this);
      if (slots.stream !== null) slots.release();
    }
    write(chunk = undefined) { return attempt(() => held(this, "write").write(chunk)); }
  }
  realm.brand(WritableStreamDefaultWriter);

  /// A stream of the gateway's own, without public parts.
  S.writable = (start, write, close, abort, mark = 1, size = S.one) => {
    const stream = new Writable();
    new WritableController(stream, mark, size).begin(start, write, close, abort);
    return stream;
  };
  Object.assign(S, { Writer, writableSlots: slotsOf, showWritable: make });
  realm.expose({ WritableStream, WritableStreamDefaultController, WritableStreamDefaultWriter });
}
