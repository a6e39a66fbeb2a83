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
      this.stream = null;    // what the shares left over read from
    }
    get untouched() { return this.stream === null; }
    async read() {
      if (this.stream !== null) return collect(this.open());
      if (this.bytes === null) realm.alive(this.slot, this.epoch);
      this.bytes ??= realm.readLiveBody(this.slot, this.epoch, this.side);
      return (await this.bytes).slice();
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
    async pull(stream) {
      const chunk = await realm.pullLiveBody(this.slot, this.epoch, this.side);
      if (chunk !== null) { stream.controller.enqueue(chunk); return; }
      stream.controller.close();
      if (stream.controller.pendingPulls.length > 0) stream.controller.respond(0);
    }
    cancel() {
      if (realm.callAt(this.slot, this.epoch) !== null) native.cancelBody(this.slot, this.epoch, this.side);
      return S.resolved(undefined);
    }
  }

  /// A byte stream of one chunk that is made when it is first read.
  function fromSource(make) {
    const stream = S.readableBytes(async () => {
      const bytes = await make();
      if (bytes.length > 0) stream.controller.enqueue(bytes);
      stream.controller.close();
      if (stream.controller.pendingPulls.length > 0) stream.controller.respond(0);
    }, () => S.resolved(undefined));
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
      this.shown = S.show(this.source instanceof LiveBody ? lazily(this) : fromSource(() => sourceBytes(this.source)));
      holderOfStream.set(this.shown, this);
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
      const [mine, other] = this.source.tee();
      this.source = mine;
      return new Holder(other, this.type);
    }
  }

  async function sourceBytes(source) {
    if (source === null) return new Uint8Array(0);
    if (typeof source === "string") return realm.encode(source);
    if (source instanceof LiveBody) return source.read();
    if (source instanceof Uint8Array) return source.slice();
    return collect(realm.streamSlots(source));
  }

  /// Every chunk of a stream as one Uint8Array.
  async function collect(stream) {
    const chunks = [], reader = new S.Reader(stream, false);
    let length = 0;
    for (;;) {
      const request = new S.PromisedRead();
      reader.read(request);
      const { value, done } = await request.deferred.promise;
      if (done) break;
      if (!(value instanceof Uint8Array)) throw new TypeError("a chunk of the body is not a Uint8Array");
      chunks.push(value);
      length += value.length;
    }
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

  async function text(holder) {
    const source = holder.take("text");
    if (typeof source !== "string") return realm.decode(await sourceBytes(source));
    return source.charCodeAt(0) === 0xfeff ? source.slice(1) : source;
  }

  /// Gives an interface the Body members. `holderOf(object)` throws when it is not one of the interface.
  function mixin(type, holderOf) {
    const members = {
      get body() { return holderOf(this).stream; },
      get bodyUsed() { return holderOf(this).used; },
      async text() { return text(holderOf(this)); },
      async json() { return JSON.parse(await text(holderOf(this))); },
      async bytes() { return sourceBytes(holderOf(this).take("bytes")); },
      async blob() {
        const type = this.headers.get("content-type") ?? "";
        return realm.newBlob(await sourceBytes(holderOf(this).take("blob")), type.toLowerCase());
      },
      async formData() {
        const type = this.headers.get("content-type") ?? "";
        return realm.decodeForm(await sourceBytes(holderOf(this).take("formData")), type);
      },
      async arrayBuffer() { return (await sourceBytes(holderOf(this).take("arrayBuffer"))).buffer; },
    };
    for (const [key, property] of Object.entries(Object.getOwnPropertyDescriptors(members))) {
      Object.defineProperty(type.prototype, key, property);
    }
  }

  Object.assign(realm, { LiveBody, BodyHolder: Holder, extractBody: extract, bodyMixin: mixin, bodyBytes: sourceBytes });
}
