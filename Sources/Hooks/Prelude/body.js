// Bodies of requests and responses (Fetch standard, section 5.2).
//
// A body that belongs to a live exchange stays in the host: it is a `LiveBody`, and comes into the
// isolate only when the hook reads it. Handing it back untouched is what lets it be spliced.
{
  const { bytesOf } = realm;
  const S = realm.streams;
  const holderOfStream = new WeakMap();

  /// The body of the live exchange, shown by one or more objects (`shares`). It stays in the host until one of them
  /// reads it: whole (`read`, once for all of them), or as a stream (`open`, shared by tee).
  class LiveBody {
    constructor(slot, epoch, side) {
      this.slot = slot;
      this.epoch = epoch;
      this.side = side;
      this.shares = 1;
      this.bytes = null;     // promise of all bytes
      this.readers = 0;      // shares that wait for them
      this.stream = null;    // what the shares left over read from
    }
    get untouched() { return this.stream === null; }
    async read() {
      if (this.stream !== null) return collect(this.open());
      if (this.bytes === null) realm.alive(this.slot, this.epoch);
      this.bytes ??= realm.readLiveBody(this.slot, this.epoch, this.side);
      this.readers++;
      return (await this.bytes).slice();
    }
    /// The body is about to be handed on. Where another share still waits for all of it, it flows to both from its beginning.
    handOn() {
      const waiting = this.bytes === null || this.readers >= this.shares ? undefined : realm.callAt(this.slot, this.epoch)?.owed(`body ${this.side}`);
      if (waiting === undefined) return;
      const base = S.readableBytes(() => this.pull(base), () => this.cancel()), [mine, rest] = S.tee(base);
      this.shares -= this.readers;
      this.stream = rest;
      this.bytes = null;
      S.handled(S.then(collect(mine), waiting.resolve, waiting.reject));
    }
    /// One share as a stream (its state, see streams-readable.js).
    open() {
      if (this.bytes !== null) return fromSource(() => this.bytes.then((bytes) => bytes.slice()));
      const base = this.stream ?? S.readableBytes(() => this.pull(base), () => this.cancel());
      if (--this.shares === 0) return base;
      const [mine, rest] = S.tee(base);
      this.stream = rest;
      return mine;
    }
    /// The next chunk, asked of the host; null at the end.
    next() { return realm.pullLiveBody(this.slot, this.epoch, this.side); }
    async pull(stream) {
      const chunk = await this.next();
      if (chunk !== null) { stream.controller.enqueue(chunk); return; }
      stream.controller.close();
      if (stream.controller.pendingPulls.length > 0) stream.controller.respond(0);
    }
    cancel() {
      if (realm.callAt(this.slot, this.epoch) !== null) native.cancelBody(this.slot, this.epoch, this.side);
      return S.resolved(undefined);
    }
  }

  /// The body of an answer to a sub-request, on its way: it comes as it is asked for.
  class AnswerBody extends LiveBody {
    constructor(call, id) { super(call.slot, call.epoch, -1); this.id = id; this.failure = undefined; }
    get untouched() { return false; }
    read() { return collect(this.open()); }
    next() {
      const call = realm.callAt(this.slot, this.epoch);
      if (this.failure !== undefined) return Promise.reject(this.failure.reason);
      if (call === null) return Promise.reject(new TypeError("this body was read after its request ended"));
      native.pullAnswer(this.slot, this.epoch, this.id);
      return call.wait(`part ${this.id}`);
    }
    cancel() {
      const call = realm.callAt(this.slot, this.epoch);
      if (call !== null) realm.dropAnswer(call, this.id, new TypeError("the body was cancelled"));
      return S.resolved(undefined);
    }
    /// Its request was aborted.
    abort(reason) {
      this.failure = { reason };
      const call = realm.callAt(this.slot, this.epoch);
      if (call !== null) realm.dropAnswer(call, this.id, reason);
    }
  }

  /// A byte stream of one chunk that is made when it is first read. `make` gives bytes, or a promise of them.
  function fromSource(make) {
    const give = (bytes) => {
      if (bytes.length > 0) stream.controller.enqueue(bytes);
      stream.controller.close();
      if (stream.controller.pendingPulls.length > 0) stream.controller.respond(0);
    };
    const stream = S.readableBytes(() => S.attempt(() => {
      const bytes = make();
      // Only a promise is waited for: a hook's Object.prototype.then must not see the bytes.
      if (bytes instanceof Promise) return S.then(bytes, give);
      return S.resolved(give(bytes));
    }), () => S.resolved(undefined));
    return stream;
  }

  /// A stream that opens its live body when it is first read: until then the body can be handed back untouched.
  function lazily(holder) {
    let reader = null;
    const stream = S.readableBytes(() => {
      if (reader === null) {
        holder.spent = true;
        reader = new S.Reader(holder.source.open(), false);
      }
      return new Promise((resolve, reject) => {
        reader.read({
          chunk(chunk) { stream.controller.enqueue(chunk); resolve(); },
          close() {
            stream.controller.close();
            if (stream.controller.pendingPulls.length > 0) stream.controller.respond(0);
            resolve();
          },
          error: reject,
        });
      });
    }, (reason) => (reader === null ? S.resolved(undefined) : reader.cancel(reason)));
    return stream;
  }

  /// What one Request or Response object knows of its body. `source`: null, string, Uint8Array, LiveBody or ReadableStream.
  class Holder {
    constructor(source, type = null) { this.source = source; this.type = type; this.spent = false; this.shown = null; }

    get used() {
      const stream = realm.isStream(this.source) ? this.source : this.shown;
      return this.spent || (stream !== null && realm.streamDisturbed(stream));
    }
    get locked() { return (realm.isStream(this.source) ? this.source : this.shown)?.locked ?? false; }

    /// The `body` attribute.
    get stream() {
      if (this.source === null || realm.isStream(this.source)) return this.source;
      if (this.shown !== null) return this.shown;
      this.shown = S.show(this.source instanceof LiveBody ? lazily(this) : fromSource(() => bytesIn(this.source)));
      holderOfStream.set(this.shown, this);
      if (this.spent) realm.streamSpend(this.shown);
      return this.shown;
    }

    /// Marks the body as read and gives its source away.
    take(what) {
      if (this.used) throw new TypeError(`${what}: the body was read already`);
      if (this.locked) throw new TypeError(`${what}: the body is locked to a reader`);
      if (this.source === null) return null;
      this.spent = true;
      if (this.shown !== null) realm.streamSpend(this.shown);
      return this.source;
    }

    /// A second holder of the same body, for clone().
    split() {
      if (this.used || this.locked) throw new TypeError("clone: the body was read already or is locked");
      if (this.source instanceof LiveBody) this.source.shares++;
      if (!realm.isStream(this.source)) return new Holder(this.source, this.type);
      const [mine, other] = S.tee(realm.streamSlots(this.source), (chunk) => realm.cloneMoving(chunk, []).value);
      this.source = S.show(mine);
      return new Holder(S.show(other), this.type);
    }
  }

  const bytesIn = (source) => (typeof source === "string" ? realm.encode(source) : source.slice());
  /// What `use` makes of all bytes of a source. Nothing that a hook put on Object.prototype is asked on the way.
  function withBytes(source, use) {
    if (source === null) return S.attempt(() => S.resolved(use(new Uint8Array(0))));
    if (typeof source === "string" || source instanceof Uint8Array) return S.attempt(() => S.resolved(use(bytesIn(source))));
    if (source instanceof LiveBody) return S.then(source.read(), use);
    return collect(realm.streamSlots(source), use);
  }
  const sourceBytes = (source) => withBytes(source, (bytes) => bytes);

  /// Every chunk of a stream as one Uint8Array.
  function collect(stream, use = (bytes) => bytes) {
    const chunks = [], reader = new S.Reader(stream, false);
    let length = 0;
    return new Promise((resolve, reject) => {
      const next = () => reader.read({
        chunk(value) {
          if (!(value instanceof Uint8Array)) {
            const error = new TypeError("a chunk of the body is not a Uint8Array");
            S.handled(reader.cancel(error));
            reject(error);
            return;
          }
          chunks.push(value);
          length += value.length;
          // Not from here: a stream of many small chunks that are there already would fill the stack.
          S.then(S.resolved(undefined), next);
        },
        close() { try { resolve(use(joined(chunks, length))); } catch (error) { reject(error); } },
        error: reject,
      });
      next();
    });
  }
  function joined(chunks, length) {
    const all = new Uint8Array(length);
    let at = 0;
    for (const chunk of chunks) { all.set(chunk, at); at += chunk.length; }
    return all;
  }

  /// "Extract a body": a holder for anything that may be given as a body.
  function extract(value) {
    if (value === null || value === undefined) return new Holder(null);
    if (typeof value === "string") return new Holder(realm.scalars(value), "text/plain;charset=UTF-8");
    if (realm.isStream(value)) {
      const shown = holderOfStream.get(value);
      if (shown) return new Holder(shown.take("body"));
      if (value.locked || realm.streamDisturbed(value)) throw new TypeError("body: the stream was read already or is locked");
      return new Holder(value);
    }
    const form = realm.searchParamsText(value);
    if (form !== null) return new Holder(form, "application/x-www-form-urlencoded;charset=UTF-8");
    if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return new Holder(bytesOf(value).slice());
    const blob = realm.blobParts(value);
    if (blob !== null) return new Holder(blob.bytes, blob.type === "" ? null : blob.type);
    const entries = realm.formEntries(value);
    if (entries !== null) { const { bytes, type } = realm.encodeForm(entries); return new Holder(bytes, type); }
    return new Holder(realm.scalars(value), "text/plain;charset=UTF-8");
  }

  function text(holder) {
    const source = holder.take("text");
    if (typeof source !== "string") return withBytes(source, realm.decode);
    return S.resolved(source.charCodeAt(0) === 0xfeff ? source.slice(1) : source);
  }

  /// Gives an interface the Body members. `holderOf(object)` throws when it is not one of the interface.
  function mixin(type, holderOf) {
    const read = (self, what, use) => S.attempt(() => withBytes(holderOf(self).take(what), use));
    const typeOf = (self) => self.headers.get("content-type") ?? "";
    const members = {
      get body() { return holderOf(this).stream; },
      get bodyUsed() { return holderOf(this).used; },
      text() { return S.attempt(() => text(holderOf(this))); },
      json() { return S.attempt(() => S.then(text(holderOf(this)), (found) => JSON.parse(found))); },
      bytes() { return read(this, "bytes", (bytes) => bytes); },
      blob() { return read(this, "blob", (bytes) => realm.newBlob(bytes, typeOf(this).toLowerCase())); },
      formData() { return read(this, "formData", (bytes) => realm.decodeForm(bytes, typeOf(this))); },
      arrayBuffer() { return read(this, "arrayBuffer", (bytes) => bytes.buffer); },
    };
    for (const [key, property] of Object.entries(Object.getOwnPropertyDescriptors(members))) {
      Object.defineProperty(type.prototype, key, property);
    }
  }

  Object.assign(realm, { LiveBody, AnswerBody, BodyHolder: Holder, extractBody: extract, bodyMixin: mixin, bodyBytes: sourceBytes });
}
