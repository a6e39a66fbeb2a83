// Byte streams: the byte controller and what waits to be filled (Streams standard, section 4.7).
{
  const S = realm.streams;

  const isDetached = (buffer) => {
    if (buffer.byteLength > 0) return false;
    try { new Uint8Array(buffer); return false; } catch { return true; }
  };
  const transfer = (buffer) => native.transfer(buffer);
  const elementSize = (view) => view.BYTES_PER_ELEMENT ?? 1;
  const copyBytes = (to, toOffset, from, fromOffset, count) => {
    new Uint8Array(to).set(new Uint8Array(from, fromOffset, count), toOffset);
  };

  class ByteController extends S.PullController {
    constructor(stream, mark, autoAllocate) {
      super(stream, mark);
      this.queue = [];            // {buffer, offset, length}
      this.total = 0;
      this.autoAllocate = autoAllocate;
      this.pendingPulls = [];     // pull-into descriptors
      this.request = null;        // the BYOB request shown
    }
    get bytes() { return true; }
    get queued() { return this.total; }
    forget() { this.pullAlgorithm = this.cancelAlgorithm = null; }
    forgetRequest() {
      if (this.request === null) return;
      this.request.controller = null;
      this.request.view = null;
      this.request = null;
    }
    clearPending() { this.forgetRequest(); this.pendingPulls = []; }

    close() {
      if (!this.open) return;
      if (this.total > 0) { this.closing = true; return; }
      const first = this.pendingPulls[0];
      if (first !== undefined && first.filled % first.elementSize !== 0) {
        const error = new TypeError("the stream was closed with a partly filled element");
        this.error(error);
        throw error;
      }
      this.forget();
      this.stream.close();
    }
    error(error) {
      if (this.stream.state !== "readable") return;
      this.clearPending();
      this.queue = [];
      this.total = 0;
      this.forget();
      this.stream.fail(error);
    }
    append(buffer, offset, length) { this.queue.push({ buffer, offset, length }); this.total += length; }

    enqueue(chunk) {
      if (!this.open) return;
      const { buffer, byteOffset, byteLength } = chunk;
      if (isDetached(buffer)) throw new TypeError("enqueue: the chunk's buffer is detached");
      const moved = transfer(buffer);
      const first = this.pendingPulls[0];
      if (first !== undefined) {
        if (isDetached(first.buffer)) throw new TypeError("enqueue: the buffer of the BYOB request is detached");
        this.forgetRequest();
        first.buffer = transfer(first.buffer);
        if (first.kind === "none") this.enqueueDetached(first);
      }
      if (this.stream.hasDefaultReader) this.serveDefault(moved, byteOffset, byteLength);
      else if (this.stream.hasByobReader) {
        this.append(moved, byteOffset, byteLength);
        this.commitAll(this.fillFromQueue());
      } else this.append(moved, byteOffset, byteLength);
      this.pullIfNeeded();
    }
    /// A chunk for default readers: reads that wait take what is queued first, then the chunk.
    serveDefault(buffer, offset, length) {
      const { reader } = this.stream;
      while (reader.requests.length > 0 && this.total > 0) this.fillRead(reader.requests.shift());
      if (reader.requests.length === 0) { this.append(buffer, offset, length); return; }
      if (this.pendingPulls.length > 0) this.shiftPending();
      this.stream.fulfill(new Uint8Array(buffer, offset, length), false);
    }
    fillRead(request) {
      const entry = this.queue.shift();
      this.total -= entry.length;
      this.drained();
      request.chunk(new Uint8Array(entry.buffer, entry.offset, entry.length));
    }
    drained() {
      if (this.total > 0 || !this.closing) { this.pullIfNeeded(); return; }
      this.forget();
      this.stream.close();
    }
    enqueueDetached(pending) {
      if (pending.filled > 0) this.enqueueCopy(pending.buffer, pending.offset, pending.filled);
      this.shiftPending();
    }
    enqueueCopy(buffer, offset, length) {
      let copy;
      try { copy = buffer.slice(offset, offset + length); } catch (error) { this.error(error); throw error; }
      this.append(copy, 0, length);
    }
    shiftPending() { this.forgetRequest(); return this.pendingPulls.shift(); }

    // MARK: Pull-into

    /// Fills a descriptor from the queue; true when it is ready to be given away.
    fill(pending) {
      const most = Math.min(this.total, pending.length - pending.filled);
      const filled = pending.filled + most, aligned = filled - (filled % pending.elementSize);
      let left = most, ready = false;
      if (aligned >= pending.minimum) { left = aligned - pending.filled; ready = true; }
      while (left > 0) {
        const entry = this.queue[0], count = Math.min(left, entry.length);
        copyBytes(pending.buffer, pending.offset + pending.filled, entry.buffer, entry.offset, count);
        if (entry.length === count) this.queue.shift();
        else { entry.offset += count; entry.length -= count; }
        this.total -= count;
        this.forgetRequest();
        pending.filled += count;
        left -= count;
      }
      return ready;
    }
    fillFromQueue() {
      const ready = [];
      while (this.pendingPulls.length > 0 && this.total > 0) {
        const first = this.pendingPulls[0];
        if (this.fill(first)) { this.shiftPending(); ready.push(first); }
      }
      return ready;
    }
    view(pending) {
      const buffer = transfer(pending.buffer);
      return new pending.type(buffer, pending.offset, pending.filled / pending.elementSize);
    }
    commit(pending) {
      const done = this.stream.state === "closed";
      this.stream.fulfill(this.view(pending), done);
    }
    commitAll(list) { for (const pending of list) this.commit(pending); }

    pullInto(view, minimum, request) {
      const size = elementSize(view), type = view.constructor === DataView ? DataView : viewType(view);
      const { byteOffset, byteLength } = view;
      let buffer;
      try { buffer = transfer(view.buffer); } catch (error) { request.error(error); return; }
      const pending = {
        buffer, capacity: buffer.byteLength, offset: byteOffset, length: byteLength, filled: 0,
        minimum: minimum * size, elementSize: size, type, kind: "byob",
      };
      if (this.pendingPulls.length > 0) {
        this.pendingPulls.push(pending);
        this.stream.reader.requests.push(request);
        return;
      }
      if (this.stream.state === "closed") { request.close(new type(buffer, byteOffset, 0)); return; }
      if (this.total > 0) {
        if (this.fill(pending)) {
          const filled = this.view(pending);
          this.drained();
          request.chunk(filled);
          return;
        }
        if (this.closing) {
          const error = new TypeError("the stream is closing and the rest does not fill an element");
          this.error(error);
          request.error(error);
          return;
        }
      }
      this.pendingPulls.push(pending);
      this.stream.reader.requests.push(request);
      this.pullIfNeeded();
    }

    pullSteps(request) {
      if (this.total > 0) { this.fillRead(request); return; }
      if (this.autoAllocate !== undefined) {
        let buffer;
        try { buffer = new ArrayBuffer(this.autoAllocate); } catch (error) { request.error(error); return; }
        this.pendingPulls.push({
          buffer, capacity: this.autoAllocate, offset: 0, length: this.autoAllocate, filled: 0, minimum: 1,
          elementSize: 1, type: Uint8Array, kind: "default",
        });
      }
      this.stream.reader.requests.push(request);
      this.pullIfNeeded();
    }
    cancelSteps(reason) {
      this.clearPending();
      this.queue = [];
      this.total = 0;
      const cancel = this.cancelAlgorithm;
      this.forget();
      return cancel(reason);
    }
    releaseSteps() {
      if (this.pendingPulls.length === 0) return;
      this.pendingPulls[0].kind = "none";
      this.pendingPulls.length = 1;
    }

    // MARK: Answers to BYOB requests

    respond(written) {
      const first = this.pendingPulls[0];
      if (this.stream.state === "closed") {
        if (written !== 0) throw new TypeError("respond: the stream is closed, so the count must be 0");
      } else {
        if (written === 0) throw new TypeError("respond: 0 bytes");
        if (first.filled + written > first.length) throw new RangeError("respond: more bytes than the view holds");
      }
      first.buffer = transfer(first.buffer);
      this.respondInternal(written);
    }
    respondWithNewView(view) {
      const first = this.pendingPulls[0];
      if (this.stream.state === "closed") {
        if (view.byteLength !== 0) throw new TypeError("respondWithNewView: the stream is closed, so the view must be empty");
      } else if (view.byteLength === 0) throw new TypeError("respondWithNewView: the view is empty");
      if (first.offset + first.filled !== view.byteOffset) throw new RangeError("respondWithNewView: the view begins elsewhere");
      if (first.capacity !== view.buffer.byteLength) throw new RangeError("respondWithNewView: the buffer has another length");
      if (first.filled + view.byteLength > first.length) throw new RangeError("respondWithNewView: the view is too long");
      const length = view.byteLength;
      first.buffer = transfer(view.buffer);
      this.respondInternal(length);
    }
    respondInternal(written) {
      const first = this.pendingPulls[0];
      this.forgetRequest();
      if (this.stream.state === "closed") this.respondClosed(first);
      else this.respondReadable(written, first);
      this.pullIfNeeded();
    }
    respondClosed(first) {
      if (first.kind === "none") this.shiftPending();
      if (!this.stream.hasByobReader) return;
      const filled = [];
      while (filled.length < this.stream.waiting) filled.push(this.shiftPending());
      this.commitAll(filled);
    }
    respondReadable(written, first) {
      first.filled += written;
      this.forgetRequest();
      if (first.kind === "none") {
        this.enqueueDetached(first);
        this.commitAll(this.fillFromQueue());
        return;
      }
      if (first.filled < first.minimum) return;
      this.shiftPending();
      const rest = first.filled % first.elementSize;
      if (rest > 0) this.enqueueCopy(first.buffer, first.offset + first.filled - rest, rest);
      first.filled -= rest;
      const others = this.fillFromQueue();
      this.commit(first);
      this.commitAll(others);
    }

    get byobRequest() {
      const first = this.pendingPulls[0];
      if (this.request === null && first !== undefined) {
        const view = new Uint8Array(first.buffer, first.offset + first.filled, first.length - first.filled);
        this.request = { controller: this, view, object: null };
      }
      return this.request;
    }
  }

  const viewTypes = new Map([Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array,
    Float32Array, Float64Array, BigInt64Array, BigUint64Array].map((type) => [type.name, type]));
  const viewName = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Int8Array.prototype), Symbol.toStringTag).get;
  const viewType = (view) => viewTypes.get(Reflect.apply(viewName, view, [])) ?? DataView;

  /// A byte stream of the gateway's own.
  S.readableBytes = (pull, cancel, mark = 0) => {
    const stream = new S.Readable();
    new ByteController(stream, mark, undefined).begin(S.noop, pull, cancel);
    return stream;
  };
  Object.assign(S, { ByteController, isDetached });
}
