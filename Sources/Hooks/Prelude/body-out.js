// Bodies that hooks make as streams: read here and handed to the host as far as it has room (HookStreams in Swift).
{
  const S = realm.streams;
  const { LiveBody } = realm;

  /// Whether a body is the exchange's own, not read by anyone: then the host keeps it.
  realm.isUntouched = (source, slot, epoch, side) => source instanceof LiveBody && source.side === side &&
    source.slot === slot && source.epoch === epoch && source.untouched;

  realm.handOn = (source) => { if (source instanceof LiveBody) source.handOn(); };

  /// One body on its way out.
  class Outgoing {
    constructor(call, side, reader) {
      this.call = call;
      this.side = side;
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
      const bytes = typeof chunk === "object" && chunk !== null && ArrayBuffer.isView(chunk) && realm.viewName(chunk) === "Uint8Array";
      if (!bytes) {
        const error = new TypeError("a chunk of the body is not a Uint8Array");
        this.reader.cancel(error);
        this.fail(error);
        return;
      }
      const { call } = this;
      this.room = native.writeBody(call.slot, call.epoch, this.side, chunk);
      if (this.room) this.later();
    }
    /// Goes on in a microtask, so that a stream that always has a chunk does not grow the stack.
    later() { S.then(S.resolved(undefined), () => { if (this.room && !this.reading) this.go(); }); }
    end() {
      const { call } = this;
      if (call.outgoing?.[this.side] !== this) return;
      call.outgoing[this.side] = undefined;
      native.endBody(call.slot, call.epoch, this.side);
      call.tail--;
      realm.endIfDone(call);
    }
    fail(error) {
      const { call } = this;
      if (call.outgoing?.[this.side] !== this) return;
      call.outgoing[this.side] = undefined;
      if (!call.finished) { realm.failCall(call, error); return; }
      realm.closeCall(call);
      native.failBody(call.slot, call.epoch, this.side, error);
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

  realm.bodyRoom = (slot, epoch, side) => {
    const call = realm.callAt(slot, epoch), one = call?.outgoing?.[side];
    if (one === undefined) return;
    realm.current = call;
    one.go();
  };

  /// The call is over without its streams being read to the end: their sources are told.
  realm.cancelOutgoing = (call, reason) => {
    const all = call.outgoing ?? [];
    // Emptied first: cancelling closes the stream for its reader, and that must not pass for the end of the body.
    call.outgoing = null;
    for (const one of all) if (one !== undefined && one.reader.stream !== null) S.handled(one.reader.cancel(reason));
  };
}
