// structuredClone (HTML section 2.7), and the same as text for what travels between phases.
//
// A value is flattened into a list: primitives stand for themselves, an object is a list [tag, ...] that
// refers to others by index, so cycles and shared references survive. Negative indexes are special values.
{
  const { DOMException } = realm;
  const special = [undefined, NaN, Infinity, -Infinity, -0];
  const errorTypes = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
  const viewTypes = Object.fromEntries([Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array,
    Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView].map((type) => [type.name, type]));
  const tagOf = (value) => Object.prototype.toString.call(value).slice(8, -1);

  function refuse(value) {
    const shown = typeof value === "object" ? `a ${tagOf(value)} object` : typeof value;
    throw new DOMException(`${shown} cannot be cloned`, "DataCloneError");
  }

  // As `CloneKind` in CV8/web_clone.cc: what has which internal slots is not for `instanceof` to say.
  const [ordinary, array, date, regexp, map, set, buffer, view, error, wrapper, refused, detached] = Array(12).keys();
  const { getTime } = Date.prototype, mapEntries = Map.prototype.entries, setValues = Set.prototype.values;
  const source = Object.getOwnPropertyDescriptor(RegExp.prototype, "source").get, flags = Object.getOwnPropertyDescriptor(RegExp.prototype, "flags").get;

  class Flattener {
    /// `moved`: what is transferred, with its index. `shares`: whether platform objects may be copied.
    constructor(budget, shares, moved = []) {
      this.list = moved.map((_, index) => ["t", index]);
      this.seen = new Map(moved.map((one, index) => [one, index]));
      this.budget = budget;
      this.shares = shares;
    }

    add(value) {
      if (value === undefined || typeof value === "number") {
        const at = special.findIndex((one) => Object.is(one, value));
        if (at >= 0) return -1 - at;
      }
      const known = this.seen.get(value);
      if (known !== undefined) return known;
      if (typeof value === "function" || typeof value === "symbol") refuse(value);
      if (--this.budget < 0) throw new DOMException("the value has too many parts to be cloned", "DataCloneError");
      const index = this.list.push(null) - 1;
      this.seen.set(value, index);
      this.list[index] = typeof value === "object" && value !== null ? this.object(value) : this.primitive(value);
      return index;
    }

    primitive(value) { return typeof value === "bigint" ? ["n", `${value}`] : value; }

    object(value) {
      switch (native.kindOf(value)) {
        case ordinary: return this.ordinary(value);
        case array: return ["a", value.length, ...this.members(value)];
        case date: return ["d", this.add(Reflect.apply(getTime, value, []))];
        case regexp: return ["r", Reflect.apply(source, value, []), Reflect.apply(flags, value, [])];
        case map: return ["m", ...[...Reflect.apply(mapEntries, value, [])].flatMap(([key, one]) => [this.add(key), this.add(one)])];
        case set: return ["s", ...[...Reflect.apply(setValues, value, [])].map((one) => this.add(one))];
        case buffer: return ["b", new Uint8Array(value.slice(0))];
        case view: return ["v", realm.viewName(value), this.add(value.buffer), value.byteOffset, value.length ?? value.byteLength];
        case error: return this.error(value);
        case wrapper: return ["p", this.add(unwrapped(value))];
        case detached: throw new DOMException("an ArrayBuffer that was transferred cannot be cloned", "DataCloneError");
        default: refuse(value);
      }
    }
    ordinary(value) {
      const copy = this.shares ? realm.sharedCopy(value) : null;
      if (copy !== null) return ["c", copy];
      if (realm.isPlatform(value) || value instanceof WeakRef) refuse(value);
      return ["o", ...this.members(value)];
    }

    members(value) {
      const out = [];
      for (const key of Object.keys(value)) if (Object.hasOwn(value, key)) out.push(key, this.add(value[key]));
      return out;
    }

    error(value) {
      const copy = this.shares ? realm.sharedCopy(value) : null;   // a DOMException
      if (copy !== null) return ["c", copy];
      const named = `${value.name}`, message = Object.getOwnPropertyDescriptor(value, "message"), { stack } = value;
      const text = message !== undefined && "value" in message ? `${message.value}` : null;
      const cause = Object.hasOwn(value, "cause") ? [this.add(value.cause)] : [];
      return ["e", Object.hasOwn(errorTypes, named) ? named : "Error", text, typeof stack === "string" ? stack : "", ...cause];
    }
  }
  const values = [Boolean, Number, String, BigInt].map((type) => type.prototype.valueOf);
  /// What a Boolean, Number, String or BigInt object holds.
  function unwrapped(object) {
    for (const valueOf of values) { try { return Reflect.apply(valueOf, object, []); } catch { /* another kind */ } }
    return refuse(object);
  }

  class Builder {
    constructor(list, received = []) { this.list = list; this.made = new Map(); this.received = received; }

    get(index) {
      if (index < 0) return special[-1 - index];
      if (this.made.has(index)) return this.made.get(index);
      const entry = this.list[index];
      if (!Array.isArray(entry)) return entry;
      return this.build(index, entry);
    }

    keep(index, value) { this.made.set(index, value); return value; }

    build(index, [tag, ...rest]) {
      switch (tag) {
        case "n": return BigInt(rest[0]);
        case "a": return this.fill(this.keep(index, new Array(rest[0])), rest, 1);
        case "o": return this.fill(this.keep(index, {}), rest, 0);
        case "d": return this.keep(index, new Date(this.get(rest[0])));
        case "c": return this.keep(index, rest[0]());
        case "t": return this.received[rest[0]];
        case "r": return this.keep(index, new RegExp(rest[0], rest[1]));
        case "b": return this.keep(index, rest[0].buffer);
        case "v": return this.keep(index, new viewTypes[rest[0]](this.get(rest[1]), rest[2], rest[3]));
        case "p": return this.keep(index, Object(this.get(rest[0])));
        case "m": return this.map(this.keep(index, new Map()), rest);
        case "s": {
          const set = this.keep(index, new Set());
          for (const one of rest) set.add(this.get(one));
          return set;
        }
        default: return this.error(index, rest);
      }
    }

    fill(target, list, from) {
      for (let i = from; i < list.length; i += 2) {
        Object.defineProperty(target, list[i], { value: this.get(list[i + 1]), writable: true, enumerable: true, configurable: true });
      }
      return target;
    }
    map(target, list) {
      for (let i = 0; i < list.length; i += 2) target.set(this.get(list[i]), this.get(list[i + 1]));
      return target;
    }
    error(index, [name, message, stack, cause]) {
      const error = this.keep(index, message === null ? new errorTypes[name]() : new errorTypes[name](message));
      Object.defineProperty(error, "stack", { value: stack, writable: true, enumerable: false, configurable: true });
      if (cause !== undefined) Object.defineProperty(error, "cause", { value: this.get(cause), writable: true, enumerable: false, configurable: true });
      return error;
    }
  }

  realm.viewName = (view) => {
    const name = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Int8Array.prototype), Symbol.toStringTag).get.call(view);
    return name ?? "DataView";
  };
  /// Whether an object is of an interface of ours, or of a class that extends one.
  realm.isPlatform = (value) => {
    for (let one = Object.getPrototypeOf(value); one !== null; one = Object.getPrototypeOf(one)) if (realm.isBranded(one)) return true;
    return false;
  };

  /// How to make a copy of a platform object that can be cloned, from parts that never change; null for others.
  realm.sharedCopy = (value) => {
    if (value instanceof DOMException) {
      const { message, name, stack } = value;
      return () => Object.defineProperty(new DOMException(message, name), "stack", { value: stack, writable: true, configurable: true });
    }
    return realm.blobCopy(value) ?? realm.crypto.keyCopy(value);
  };

  // What can be transferred besides buffers: functions that give null for other values, else {usable, move()}.
  realm.transfers = [];
  function transferOf(value) {
    if (typeof value === "object" && value !== null) {
      const kind = native.kindOf(value);
      if (kind === buffer || kind === detached) return { usable: kind === buffer, move: () => moveBuffer(value) };
      for (const look of realm.transfers) {
        const found = look(value);
        if (found !== null) return found;
      }
    }
    throw new DOMException("a value that cannot be transferred is in the list of what to transfer", "DataCloneError");
  }
  function moveBuffer(value) {
    try { return native.transfer(value); } catch { throw new DOMException("this ArrayBuffer cannot be transferred", "DataCloneError"); }
  }

  /// "StructuredSerializeWithTransfer" and its counterpart (HTML section 2.7.8): the copy, and what was moved into it.
  realm.cloneMoving = (value, transfer) => {
    if (new Set(transfer).size !== transfer.length) throw new DOMException("a value is in the list of what to transfer twice", "DataCloneError");
    transfer.forEach(transferOf);
    const flat = new Flattener(1_000_000, true, transfer), root = flat.add(value);
    // One after the other: moving a TransformStream makes its sides unusable.
    const received = transfer.map((one) => {
      const { usable, move } = transferOf(one);
      if (!usable) throw new DOMException("a value in the list of what to transfer was transferred already, or is in use", "DataCloneError");
      return move();
    });
    return { value: new Builder(flat.list, received).get(root), received };
  };

  function structuredClone(value, options = undefined) {
    realm.needs(arguments.length, 1, "structuredClone");
    const { transfer } = realm.dictionary(options, "structuredClone: the options");
    return realm.cloneMoving(value, transfer === undefined ? [] : realm.sequence(transfer, "structuredClone: transfer")).value;
  }

  /// Whether JSON says everything about an object: string keys, and values that are text, numbers or booleans.
  function isPlain(value) {
    for (const key of Object.keys(value)) {
      const one = value[key];
      const simple = typeof one === "string" || typeof one === "boolean" || one === null || (Number.isFinite(one) && !Object.is(one, -0));
      if (!simple || key === "__proto__") return false;
    }
    return true;
  }

  /// A value as text, for `ctx.state`. Bytes become one character each.
  realm.pack = (value) => {
    if (isPlain(value)) return JSON.stringify(value);
    const flat = new Flattener(10_000, false);
    const root = flat.add(value);
    const list = flat.list.map((entry) => (Array.isArray(entry) && entry[0] === "b" ? ["b", latin1Text(entry[1])] : entry));
    return JSON.stringify([root, list]);
  };
  realm.unpack = (text) => {
    const parsed = JSON.parse(text);
    if (!Array.isArray(parsed)) return parsed;
    const [root, list] = parsed;
    for (const entry of list) {
      if (Array.isArray(entry) && entry[0] === "b") entry[1] = Uint8Array.from(entry[1], (character) => character.charCodeAt(0));
    }
    return new Builder(list).get(root);
  };
  function latin1Text(bytes) {
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return text;
  }

  realm.expose({ structuredClone });
}
