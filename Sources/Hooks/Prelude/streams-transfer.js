// Transferring streams (Streams standard, sections 4.2.5, 5.2.5, 6.2.5). Both ends are in one isolate here, so what the
// standard does with a pair of ports is a reader or a writer of the old stream behind the new one; chunks are cloned.
{
  const S = realm.streams;
  const copyOf = (chunk) => realm.cloneMoving(chunk, []).value;

  function movedReadable(slots) {
    const reader = new S.Reader(slots, false);
    const read = () => new Promise((resolve, reject) => {
      reader.read({
        chunk(value) {
          try { moved.controller.enqueue(copyOf(value)); resolve(); } catch (error) { S.handled(reader.cancel(error)); reject(error); }
        },
        close() { moved.controller.close(); resolve(); },
        error: reject,
      });
    });
    const moved = S.readable(read, (reason) => reader.cancel(reason), 0);
    return moved;
  }

  function movedWritable(slots) {
    const writer = new S.Writer(slots);
    return S.writable(S.noop, (chunk) => S.attempt(() => writer.write(copyOf(chunk))), () => writer.close(), (reason) => writer.abort(reason), 0);
  }

  realm.transfers.push(
    (value) => {
      if (!realm.isStream(value)) return null;
      const slots = realm.streamSlots(value);
      return { usable: !slots.locked, move: () => S.show(movedReadable(slots)) };
    },
    (value) => {
      if (!S.isWritable(value)) return null;
      const slots = S.writableSlots(value);
      return { usable: !slots.locked, move: () => S.showWritable(movedWritable(slots)) };
    },
    (value) => {
      const pair = S.transformSides(value);
      if (pair === null) return null;
      return {
        usable: !pair.readable.locked && !pair.writable.locked,
        move: () => S.showTransform({ readable: movedReadable(pair.readable), writable: movedWritable(pair.writable) }),
      };
    },
  );
}
