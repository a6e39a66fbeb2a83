// pipeTo and tee (Streams standard, section 4.9): one stream into another, one stream into two.
{
  const S = realm.streams;
  const { then, resolved, rejected, handled, noop, Deferred, Reader, Writer } = S;

  /// Pipes that a chunk passes on one stack. A chain of hundreds would have none left, and each pipe after that would wait for ever.
  const deepest = 32;
  let depth = 0;

  /// One pipe: reads while the other side has room, and ends both sides as its options say.
  class Pipe {
    constructor(source, target, options) {
      this.source = source;
      this.target = target;
      this.options = options;
      this.reader = new Reader(source, false);
      this.writer = new Writer(target);
      source.disturbed = true;
      this.ending = false;
      this.lastWrite = resolved(undefined);
      this.stopListening = noop;
      this.done = new Deferred();
    }

    run() {
      const { signal } = this.options;
      if (signal !== undefined) {
        if (signal.aborted) { this.aborted(signal); return this.done.promise; }
        this.stopListening = realm.whenAborted(signal, () => this.aborted(signal));
      }
      this.watchSource();
      this.watchTarget();
      this.step();
      return this.done.promise;
    }

    aborted(signal) {
      const { source, target, options } = this, reason = signal.reason;
      this.end(() => {
        const actions = [];
        if (!options.preventAbort) actions.push(target.state === "writable" ? target.abort(reason) : resolved(undefined));
        if (!options.preventCancel) actions.push(source.state === "readable" ? source.cancel(reason) : resolved(undefined));
        return all(actions);
      }, true, reason);
    }

    watchSource() {
      const { source, target, options } = this;
      const failed = (error) => {
        if (options.preventAbort) this.end(null, true, error);
        else this.end(() => target.abort(error), true, error);
      };
      const closed = () => {
        if (options.preventClose) this.end(null);
        else this.end(() => this.writer.closeWithErrorPropagation());
      };
      if (source.state === "errored") failed(source.error);
      else if (source.state === "closed") closed();
      else then(this.reader.closed.promise, closed, failed);
    }

    watchTarget() {
      const { source, target, options } = this;
      const failed = (error) => {
        if (options.preventCancel) this.end(null, true, error);
        else this.end(() => source.cancel(error), true, error);
      };
      if (target.state === "errored") failed(target.error);
      else then(this.writer.closed.promise, noop, failed);
      if (!target.closingOrInFlight && target.state !== "closed") return;
      const error = new TypeError("pipeTo: the target stream is closed");
      failed(error);
    }

    step() {
      if (this.ending) return;
      then(this.writer.ready.promise, () => {
        if (this.ending) return;
        this.reader.read({
          chunk: (chunk) => {
            if (depth < deepest) { this.pass(chunk); return; }
            this.lastWrite = then(resolved(undefined), () => this.pass(chunk));
          },
          close: noop, error: noop,
        });
      }, noop);
    }
    pass(chunk) {
      depth++;
      try { this.lastWrite = then(this.writer.write(chunk), undefined, noop); } finally { depth--; }
      const written = this.lastWrite;
      this.step();
      return written;
    }

    /// Waits for writes under way, runs the action, then lets go of both streams.
    end(action, failed = false, error = undefined) {
      if (this.ending) return;
      this.ending = true;
      const go = () => {
        if (action === null) { this.finish(failed, error); return; }
        then(action(), () => this.finish(failed, error), (other) => this.finish(true, other));
      };
      if (this.target.state === "writable" && !this.target.closingOrInFlight) then(this.settledWrites(), go);
      else go();
    }
    settledWrites() {
      const before = this.lastWrite;
      return then(before, () => (before === this.lastWrite ? undefined : this.settledWrites()));
    }
    finish(failed, error) {
      this.writer.release();
      this.reader.release();
      this.stopListening();
      if (failed) this.done.refuse(error); else this.done.accept(undefined);
    }
  }

  function all(promises) {
    const done = new Deferred();
    let left = promises.length;
    if (left === 0) done.accept(undefined);
    for (const promise of promises) then(promise, () => { if (--left === 0) done.accept(undefined); }, (error) => done.refuse(error));
    return done.promise;
  }

  S.pipe = (source, target, options) => new Pipe(source, target, options).run();

  // MARK: tee

  /// Two streams of the same chunks. `clone`: what the second one gets instead of the first one's chunk.
  class Tee {
    constructor(stream, clone) {
      this.stream = stream;
      this.clone = clone;
      this.reader = new Reader(stream, false);
      this.reading = this.readAgain = false;
      this.cancelled = [false, false];
      this.reasons = [undefined, undefined];
      this.cancelDone = new Deferred();
      this.branches = [];
    }
    pull() {
      if (this.reading) { this.readAgain = true; return resolved(undefined); }
      this.reading = true;
      this.reader.read({
        chunk: (chunk) => { then(resolved(undefined), () => this.chunk(chunk)); },
        close: () => {
          this.reading = false;
          this.each((branch) => branch.controller.close());
          if (!this.cancelled[0] || !this.cancelled[1]) this.cancelDone.accept(undefined);
        },
        error: () => { this.reading = false; },
      });
      return resolved(undefined);
    }
    each(act) { this.branches.forEach((branch, index) => { if (!this.cancelled[index]) act(branch, index); }); }
    chunk(chunk) {
      this.readAgain = false;
      let second = chunk;
      if (this.clone !== null && !this.cancelled[0] && !this.cancelled[1]) {
        try { second = this.clone(chunk); } catch (error) {
          for (const branch of this.branches) branch.controller.error(error);
          this.cancelDone.accept(this.stream.cancel(error));
          return;
        }
      }
      this.each((branch, index) => branch.controller.enqueue(index === 0 ? chunk : second));
      this.reading = false;
      if (this.readAgain) this.pull();
    }
    cancel(index, reason) {
      this.cancelled[index] = true;
      this.reasons[index] = reason;
      if (this.cancelled[1 - index]) this.cancelDone.accept(this.stream.cancel(this.reasons.slice()));
      return this.cancelDone.promise;
    }
    watch() {
      then(this.reader.closed.promise, noop, (error) => {
        for (const branch of this.branches) branch.controller.error(error);
        if (!this.cancelled[0] || !this.cancelled[1]) this.cancelDone.accept(undefined);
      });
    }
  }

  S.tee = (stream, clone = null) => {
    if (stream.controller.bytes) return new S.ByteTee(stream).branches;
    const tee = new Tee(stream, clone);
    for (const index of [0, 1]) tee.branches.push(S.readable(() => tee.pull(), (reason) => tee.cancel(index, reason)));
    tee.watch();
    return tee.branches;
  };

  /// The same for byte streams: a branch whose reader brought a buffer gets the bytes read into it.
  class ByteTee {
    constructor(stream) {
      this.stream = stream;
      this.reader = null;
      this.reading = false;
      this.again = [false, false];
      this.cancelled = [false, false];
      this.reasons = [undefined, undefined];
      this.cancelDone = new Deferred();
      this.branches = [0, 1].map((index) => S.readableBytes(() => this.pull(index), (reason) => this.cancel(index, reason)));
      this.use(false);
    }
    use(byob) {
      if (this.reader?.byob === byob) return;
      this.reader?.release();
      const reader = this.reader = new Reader(this.stream, byob);
      then(reader.closed.promise, noop, (error) => {
        if (this.reader !== reader) return;
        for (const branch of this.branches) branch.controller.error(error);
        if (!this.cancelled[0] || !this.cancelled[1]) this.cancelDone.accept(undefined);
      });
    }
    pull(index) {
      if (this.reading) { this.again[index] = true; return resolved(undefined); }
      this.reading = true;
      const request = this.branches[index].controller.byobRequest;
      if (request === null) this.pullDefault(); else this.pullByob(request.view, index);
      return resolved(undefined);
    }
    goOn() {
      this.reading = false;
      if (this.again[0]) this.pull(0); else if (this.again[1]) this.pull(1);
    }
    copy(chunk) {
      try { return new Uint8Array(chunk.slice().buffer); } catch (error) {
        for (const branch of this.branches) branch.controller.error(error);
        this.cancelDone.accept(this.stream.cancel(error));
        return null;
      }
    }
    pullDefault() {
      this.use(false);
      this.reader.read({
        chunk: (chunk) => then(resolved(undefined), () => {
          this.again = [false, false];
          const both = !this.cancelled[0] && !this.cancelled[1], second = both ? this.copy(chunk) : chunk;
          if (second === null) return;
          if (!this.cancelled[0]) this.branches[0].controller.enqueue(chunk);
          if (!this.cancelled[1]) this.branches[1].controller.enqueue(second);
          this.goOn();
        }),
        close: () => {
          this.reading = false;
          this.branches.forEach((branch, index) => { if (!this.cancelled[index]) branch.controller.close(); });
          for (const branch of this.branches) if (branch.controller.pendingPulls.length > 0) branch.controller.respond(0);
          if (!this.cancelled[0] || !this.cancelled[1]) this.cancelDone.accept(undefined);
        },
        error: () => { this.reading = false; },
      });
    }
    pullByob(view, index) {
      this.use(true);
      const mine = this.branches[index], other = this.branches[1 - index];
      S.readInto(this.reader, view, 1, {
        chunk: (chunk) => then(resolved(undefined), () => {
          this.again = [false, false];
          const mineGone = this.cancelled[index], otherGone = this.cancelled[1 - index];
          if (!otherGone) {
            const second = this.copy(chunk);
            if (second === null) return;
            if (!mineGone) mine.controller.respondWithNewView(chunk);
            other.controller.enqueue(second);
          } else if (!mineGone) mine.controller.respondWithNewView(chunk);
          this.goOn();
        }),
        close: (chunk) => {
          this.reading = false;
          const mineGone = this.cancelled[index], otherGone = this.cancelled[1 - index];
          if (!mineGone) mine.controller.close();
          if (!otherGone) other.controller.close();
          if (chunk !== undefined) {
            if (!mineGone) mine.controller.respondWithNewView(chunk);
            if (!otherGone && other.controller.pendingPulls.length > 0) other.controller.respond(0);
          }
          if (!mineGone || !otherGone) this.cancelDone.accept(undefined);
        },
        error: () => { this.reading = false; },
      });
    }
    cancel(index, reason) {
      this.cancelled[index] = true;
      this.reasons[index] = reason;
      if (this.cancelled[1 - index]) this.cancelDone.accept(this.stream.cancel(this.reasons.slice()));
      return this.cancelDone.promise;
    }
  }
  S.ByteTee = ByteTee;
}
