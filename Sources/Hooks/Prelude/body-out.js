// Bodies that hooks make as streams: read here and handed to the host as far as it has room (HookStreams in Swift).
{
  const S = realm.streams;
  const { LiveBody } = realm;

  /// Whether a body is the exchange's own, not read by anyone: then the host keeps it.
  realm.isUntouched = (source, slot, epoch, side) => source instanceof LiveBody && source.side === side &&
    source.slot === slot && source.epoch === epoch && source.untouched;

  realm.handOn = (source) => { if (source instanceof LiveBody) source.handOn(); };

  /// One body on its way out: of the request (0), of the response (1), or of sub-request `key - 2`.
  class Outgoing {
    constructor(call, key, reader) {
      this.call = call;
      this.key = key;
      this.reader = reader;
      this.room = false;
      this.reading = false;
    }
    /// The host has room.
    go() {
      this.room = true;
      if (this.reading) return;
      this.reading = true;
      this.reader.read({
        chunk: (chunk) => this.chunk(chunk),
        close: () => this.end(),
        error: (error) => this.fail(error),
      });
    }
    chunk(chunk) {
      this.reading = false;
      const { call, key } = this;
      if (call.outgoing?.[key] !== this) return;
      const bytes = typeof chunk === "object" && chunk !== null && ArrayBuffer.isView(chunk) && realm.viewName(chunk) === "Uint8Array";
      if (!bytes) {
        const error = new TypeError("a chunk of the body is not a Uint8Array");
        this.reader.cancel(error);
        this.fail(error);
        return;
      }
      this.room = key < 2 ? native.writeBody(call.slot, call.epoch, key, chunk) : native.writeAsk(call.slot, call.epoch, key - 2, chunk);
      if (this.room) this.later();
    }
    /// Goes on in a microtask, so that a stream that always has a chunk does not grow the stack.
    later() { S.then(S.resolved(undefined), () => { if (this.room && !this.reading) this.go(); }); }
    end() {
      const { call, key } = this;
      if (call.outgoing?.[key] !== this) return;
      call.outgoing[key] = undefined;
      if (key >= 2) { native.endAsk(call.slot, call.epoch, key - 2); return; }
      native.endBody(call.slot, call.epoch, key);
      call.tail--;
      realm.endIfDone(call);
    }
    fail(error) {
      const { call, key } = this;
      if (call.outgoing?.[key] !== this) return;
      call.outgoing[key] = undefined;
      if (key >= 2) { realm.dropAnswer(call, key - 2, error); return; }
      if (!call.finished) { realm.failCall(call, error); return; }
      call.tail--;
      const goesOn = realm.leaveCall(call, error);
      native.failBody(call.slot, call.epoch, key, error, goesOn);
    }
  }

  /// Announces a stream as a body. Nothing is read before the host asks.
  realm.streamOut = (source, slot, epoch, side) => {
    const stream = source instanceof LiveBody ? source.open() : realm.streamSlots(source);
    const reader = new S.Reader(stream, false), call = realm.callAt(slot, epoch);
    native.streamBody(slot, epoch, side, stream.fixedLength ?? -1);
    (call.outgoing ??= [])[side] = new Outgoing(call, side, reader);
    call.tail++;
    return undefined;
  };

  /// A body of a sub-request that is sent as it is made: its stream, and its length where that is known: -1 unknown, -2 and -3
  /// that of the exchange's request and response.
  realm.askStream = (source) => {
    const asIs = source instanceof LiveBody && source.side >= 0 && source.untouched && source.shares === 1 && source.bytes === null;
    const stream = source instanceof LiveBody ? source.open() : realm.streamSlots(source);
    return { stream, length: asIs ? -2 - source.side : stream.fixedLength ?? -1 };
  };
  realm.askOut = (call, id, stream) => { (call.outgoing ??= [])[id + 2] = new Outgoing(call, id + 2, new S.Reader(stream, false)); };

  /// The body of a sub-request is not wanted any more.
  realm.stopAsk = (call, id, reason) => {
    const one = call.outgoing?.[id + 2];
    if (one === undefined) return;
    call.outgoing[id + 2] = undefined;
    if (one.reader.stream !== null) S.handled(one.reader.cancel(reason));
  };
  /// A sub-request is given up: its promise is rejected, or the body of its answer breaks off.
  realm.dropAnswer = (call, id, reason) => {
    native.cancelSubrequest(call.slot, call.epoch, id);
    realm.stopAsk(call, id, reason);
    call.owed(`answer ${id}`)?.reject(reason);
    call.owed(`part ${id}`)?.reject(reason);
  };

  realm.bodyRoom = (slot, epoch, key) => {
    const call = realm.callAt(slot, epoch), one = call?.outgoing?.[key];
    if (one === undefined) return;
    realm.current = call;
    one.go();
  };

  realm.cancelOne = (one, reason) => { if (one.reader.stream !== null) S.handled(one.reader.cancel(reason)); };
  /// The call is over without its streams being read to the end: their sources are told.
  realm.cancelOutgoing = (call, reason) => {
    const all = call.outgoing ?? [];
    // Emptied first: cancelling closes the stream for its reader, and that must not pass for the end of the body.
    call.outgoing = null;
    for (const one of all) if (one !== undefined) realm.cancelOne(one, reason);
  };
}
