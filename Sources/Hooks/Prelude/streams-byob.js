// The public objects of byte streams: BYOB requests, the byte controller, BYOB readers (Streams standard, section 4).
{
  const S = realm.streams;
  const { token, Reader, attempt, isDetached } = S;
  const isView = (value) => ArrayBuffer.isView(value);

  let requestObject, controllerObject;
  class ReadableStreamBYOBRequest {
    #slots;
    constructor(key, slots) {
      if (key !== token) throw new TypeError("Illegal constructor");
      this.#slots = slots;
    }
    get view() { return this.#slots.view; }
    respond(written) {
      const slots = this.#slots;
      realm.needs(arguments.length, 1, "respond");
      const count = Number(written);
      if (!Number.isFinite(count) || count < 0 || count > Number.MAX_SAFE_INTEGER) throw new TypeError("respond: not a count of bytes");
      if (slots.controller === null) throw new TypeError("respond: this request was answered already");
      if (isDetached(slots.view.buffer)) throw new TypeError("respond: the view's buffer is detached");
      slots.controller.respond(Math.trunc(count));
    }
    respondWithNewView(view) {
      const slots = this.#slots;
      realm.needs(arguments.length, 1, "respondWithNewView");
      if (!isView(view)) throw new TypeError("respondWithNewView: the argument is not a view of an ArrayBuffer");
      if (slots.controller === null) throw new TypeError("respondWithNewView: this request was answered already");
      if (isDetached(view.buffer)) throw new TypeError("respondWithNewView: the view's buffer is detached");
      slots.controller.respondWithNewView(view);
    }
    static { requestObject = (slots) => (slots === null ? null : (slots.object ??= new ReadableStreamBYOBRequest(token, slots))); }
  }
  realm.brand(ReadableStreamBYOBRequest);

  class ReadableByteStreamController {
    #slots;
    constructor(key, slots) {
      if (key !== token) throw new TypeError("Illegal constructor");
      this.#slots = slots;
    }
    get byobRequest() { return requestObject(this.#slots.byobRequest); }
    get desiredSize() { return this.#slots.desiredSize; }
    close() {
      if (!this.#slots.open) throw new TypeError("close: the stream is closed or errored already");
      this.#slots.close();
    }
    enqueue(chunk) {
      const slots = this.#slots;
      realm.needs(arguments.length, 1, "enqueue");
      if (!isView(chunk)) throw new TypeError("enqueue: the chunk is not a view of an ArrayBuffer");
      if (chunk.byteLength === 0 || chunk.buffer.byteLength === 0) throw new TypeError("enqueue: the chunk is empty");
      if (!slots.open) throw new TypeError("enqueue: the stream is closed or errored");
      slots.enqueue(chunk);
    }
    error(error = undefined) { this.#slots.error(error); }
    static { controllerObject = (slots) => (slots.object ??= new ReadableByteStreamController(token, slots)); }
  }
  realm.brand(ReadableByteStreamController);

  class ReadableStreamBYOBReader {
    constructor(stream) {
      realm.needs(arguments.length, 1, "ReadableStreamBYOBReader");
      S.slotsOfReader.set(this, new Reader(realm.streamSlots(stream), true));
    }
    read(view, options = undefined) {
      return attempt(() => {
        const slots = S.readerSlots(this, true);
        realm.needs(arguments.length, 1, "read");
        return readInto(slots, view, options);
      });
    }
  }
  S.readerMembers(ReadableStreamBYOBReader, true);

  function readInto(slots, view, options) {
    if (!isView(view)) throw new TypeError("read: the argument is not a view of an ArrayBuffer");
    const given = S.dictionary(options, "read: the second argument").min;
    const minimum = given === undefined ? 1 : Number(given);
    if (!Number.isFinite(minimum) || minimum < 0) throw new TypeError("read: min is not a count");
    if (view.byteLength === 0) throw new TypeError("read: the view is empty");
    if (view.buffer.byteLength === 0) throw new TypeError("read: the view's buffer is empty");
    if (isDetached(view.buffer)) throw new TypeError("read: the view's buffer is detached");
    if (Math.trunc(minimum) === 0) throw new TypeError("read: min is 0");
    if (minimum > (view.length ?? view.byteLength)) throw new RangeError("read: min is larger than the view");
    if (slots.stream === null) throw new TypeError("read: the reader was released");
    const request = new S.PromisedRead();
    S.readInto(slots, view, Math.trunc(minimum), request);
    return request.deferred.promise;
  }

  S.readInto = (reader, view, minimum, request) => {
    const { stream } = reader;
    stream.disturbed = true;
    if (stream.state === "errored") request.error(stream.error);
    else stream.controller.pullInto(view, minimum, request);
  };

  S.byteControllerOf = controllerObject;
  realm.expose({ ReadableByteStreamController, ReadableStreamBYOBReader, ReadableStreamBYOBRequest });
}
