// ReadableStream with the default controller and reader: what bodies need. BYOB readers, pipes and
// transforms are not here yet, and are absent rather than half there.
{
  const secret = Symbol("secret");
  let core;

  /// State shared by a stream and its reader. `waiting` are reads not served yet.
  class Core {
    constructor(source, highWaterMark) {
      this.source = source;
      this.highWaterMark = highWaterMark;
      this.queue = [];
      this.waiting = [];
      this.state = "readable";
      this.error = undefined;
      this.closing = false;
      this.started = false;
      this.pulling = false;
      this.pullAgain = false;
      this.disturbed = false;
      this.reader = null;
      this.controller = null;
    }

    start(start) {
      const begun = () => { this.started = true; this.pull(); };
      if (start === undefined) { this.started = true; return; }
      const result = start.call(this.source, this.controller);
      Promise.resolve(result).then(begun, (error) => this.fail(error));
    }

    get desired() {
      if (this.state === "errored") return null;
      return this.state === "closed" ? 0 : this.highWaterMark - this.queue.length;
    }

    pull() {
      const wanted = this.state === "readable" && !this.closing && (this.waiting.length > 0 || this.desired > 0);
      if (!wanted || !this.started) return;
      if (this.pulling) { this.pullAgain = true; return; }
      const pull = this.source.pull;
      if (pull === undefined) return;
      this.pulling = true;
      const done = () => {
        this.pulling = false;
        if (!this.pullAgain) return;
        this.pullAgain = false;
        this.pull();
      };
      let result;
      try { result = pull.call(this.source, this.controller); } catch (error) { this.fail(error); return; }
      Promise.resolve(result).then(done, (error) => this.fail(error));
    }

    enqueue(chunk) {
      if (this.closing || this.state !== "readable") throw new TypeError("enqueue: the stream is closed");
      if (this.waiting.length > 0) this.waiting.shift().resolve({ value: chunk, done: false });
      else this.queue.push(chunk);
      this.pull();
    }

    close() {
      if (this.closing || this.state !== "readable") throw new TypeError("close: the stream is closed already");
      this.closing = true;
      if (this.queue.length === 0) this.finish();
    }

    finish() {
      this.state = "closed";
      for (const read of this.waiting.splice(0)) read.resolve({ value: undefined, done: true });
      this.reader?.closed.resolve(undefined);
    }

    fail(error) {
      if (this.state !== "readable") return;
      this.state = "errored";
      this.error = error;
      this.queue.length = 0;
      for (const read of this.waiting.splice(0)) read.reject(error);
      this.reader?.closed.reject(error);
    }

    read() {
      this.disturbed = true;
      if (this.queue.length > 0) {
        const value = this.queue.shift();
        if (this.closing && this.queue.length === 0) this.finish();
        else this.pull();
        return Promise.resolve({ value, done: false });
      }
      if (this.state === "closed") return Promise.resolve({ value: undefined, done: true });
      if (this.state === "errored") return Promise.reject(this.error);
      const read = deferred();
      this.waiting.push(read);
      this.pull();
      return read.promise;
    }

    async cancel(reason) {
      this.disturbed = true;
      if (this.state === "errored") throw this.error;
      if (this.state === "closed") return;
      this.queue.length = 0;
      this.finish();
      await this.source.cancel?.call(this.source, reason);
    }
  }

  function deferred() {
    const one = {};
    one.promise = new Promise((resolve, reject) => { one.resolve = resolve; one.reject = reject; });
    one.promise.catch(() => {});
    return one;
  }
  realm.deferred = deferred;

  class ReadableStreamDefaultController {
    #core;
    constructor(token, of) {
      if (token !== secret) throw new TypeError("Illegal constructor");
      this.#core = of;
    }
    get desiredSize() { return this.#core.desired; }
    enqueue(chunk) { this.#core.enqueue(chunk); }
    close() { this.#core.close(); }
    error(error) { this.#core.fail(error); }
  }
  realm.brand(ReadableStreamDefaultController);

  class ReadableStreamDefaultReader {
    #core; #closed;
    constructor(stream) {
      this.#core = core(stream);
      if (this.#core.reader) throw new TypeError("the stream is locked to a reader already");
      this.#closed = deferred();
      this.#core.reader = { closed: this.#closed };
      if (this.#core.state === "closed") this.#closed.resolve(undefined);
      if (this.#core.state === "errored") this.#closed.reject(this.#core.error);
    }
    get closed() { return this.#closed.promise; }
    read() { return this.#core ? this.#core.read() : Promise.reject(new TypeError("read: the reader was released")); }
    cancel(reason) { return this.#core ? this.#core.cancel(reason) : Promise.reject(new TypeError("cancel: the reader was released")); }
    releaseLock() {
      if (!this.#core) return;
      const released = new TypeError("the reader was released");
      for (const read of this.#core.waiting.splice(0)) read.reject(released);
      this.#core.reader = null;
      this.#core = null;
      this.#closed.reject(released);
    }
  }
  realm.brand(ReadableStreamDefaultReader);

  class ReadableStream {
    #core;
    constructor(source = {}, strategy = {}) {
      if (typeof source !== "object" || source === null) throw new TypeError("ReadableStream: the source is not an object");
      if (source.type !== undefined) throw new TypeError(`ReadableStream: the source type "${source.type}" is not supported`);
      if (strategy?.size !== undefined) throw new TypeError("ReadableStream: a size function is not supported");
      const mark = strategy?.highWaterMark === undefined ? 1 : Number(strategy.highWaterMark);
      if (!(mark >= 0)) throw new RangeError("ReadableStream: highWaterMark must be 0 or more");
      this.#core = new Core(source, mark);
      this.#core.controller = new ReadableStreamDefaultController(secret, this.#core);
      this.#core.start(source.start);
      this.#core.pull();
    }
    get locked() { return this.#core.reader !== null; }
    getReader(options) {
      if (options?.mode !== undefined) throw new TypeError(`getReader: the mode "${options.mode}" is not supported`);
      return new ReadableStreamDefaultReader(this);
    }
    cancel(reason) {
      return this.locked ? Promise.reject(new TypeError("cancel: the stream is locked")) : this.#core.cancel(reason);
    }
    tee() {
      const reader = this.getReader(), sides = [];
      let reading = null;
      const pull = () => {
        reading ??= reader.read().then(({ value, done }) => {
          reading = null;
          for (const side of sides) {
            if (core(side).state !== "readable") continue;
            if (done) core(side).close(); else core(side).enqueue(value);
          }
        }, (error) => { for (const side of sides) core(side).fail(error); });
        return reading;
      };
      let left = 2;
      const cancel = (reason) => (--left === 0 ? reader.cancel(reason) : undefined);
      sides.push(new ReadableStream({ pull, cancel }, { highWaterMark: 0 }), new ReadableStream({ pull, cancel }, { highWaterMark: 0 }));
      return sides;
    }
    async *values({ preventCancel = false } = {}) {
      const reader = this.getReader();
      let finished = false;
      try {
        for (;;) {
          const { value, done } = await reader.read();
          if (done) { finished = true; return; }
          yield value;
        }
      } catch (error) {
        finished = true;
        throw error;
      } finally {
        if (!finished && !preventCancel) await reader.cancel();
        reader.releaseLock();
      }
    }
    static {
      core = (stream) => {
        if (typeof stream !== "object" || stream === null || !(#core in stream)) throw new TypeError("not a ReadableStream");
        return stream.#core;
      };
      realm.isStream = (value) => typeof value === "object" && value !== null && #core in value;
    }
  }
  realm.brand(ReadableStream);
  Object.defineProperty(ReadableStream.prototype, Symbol.asyncIterator, {
    value: ReadableStream.prototype.values, writable: true, configurable: true,
  });

  realm.streamDisturbed = (stream) => core(stream).disturbed;
  /// Takes a stream out of use because its bytes are read some other way.
  realm.streamSpend = (stream) => {
    const taken = core(stream);
    taken.disturbed = true;
    taken.queue.length = 0;
    if (taken.state === "readable") taken.finish();
  };
  realm.ReadableStream = ReadableStream;
  realm.expose({ ReadableStream, ReadableStreamDefaultController, ReadableStreamDefaultReader });
}
