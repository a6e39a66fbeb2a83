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

  class Flattener {
    constructor(budget, shares) { this.list = []; this.seen = new Map(); this.budget = budget; this.shares = shares; }

    add(value) {
      const at = special.findIndex((one) => Object.is(one, value));
      if (at >= 0) return -1 - at;
      if (typeof value === "function" || typeof value === "symbol") refuse(value);
      if (this.seen.has(value)) return this.seen.get(value);
      if (--this.budget < 0) throw new DOMException("the value has too many parts to be cloned", "DataCloneError");
      const index = this.list.push(null) - 1;
      this.seen.set(value, index);
      this.list[index] = typeof value === "object" && value !== null ? this.object(value) : this.primitive(value);
      return index;
    }

    primitive(value) { return typeof value === "bigint" ? ["n", `${value}`] : value; }

    object(value) {
      if (Array.isArray(value)) return ["a", value.length, ...this.members(value)];
      if (ArrayBuffer.isView(value)) return ["v", realm.viewName(value), this.add(value.buffer), value.byteOffset, value.length ?? value.byteLength];
      if (value instanceof ArrayBuffer) return ["b", new Uint8Array(value.slice(0))];
      if (value instanceof Date) return ["d", this.add(Date.prototype.getTime.call(value))];
      if (value instanceof RegExp) return ["r", value.source, value.flags];
      if (value instanceof Map) return ["m", ...[...Map.prototype.entries.call(value)].flatMap(([key, one]) => [this.add(key), this.add(one)])];
      if (value instanceof Set) return ["s", ...[...Set.prototype.values.call(value)].map((one) => this.add(one))];
      const copy = this.shares ? realm.sharedCopy(value) : null;
      if (copy !== null) return ["c", copy];
      if (value instanceof Error) return this.error(value);
      if (value instanceof Boolean || value instanceof Number || value instanceof String || value instanceof BigInt) return ["p", this.add(value.valueOf())];
      if (tagOf(value) !== "Object" || realm.isPlatform(value)) refuse(value);
      return ["o", ...this.members(value)];
    }

    members(value) {
      const out = [];
      for (const key of Object.keys(value)) out.push(key, this.add(value[key]));
      return out;
    }

    error(value) {
      const name = Object.hasOwn(errorTypes, value.name) ? value.name : "Error";
      const cause = Object.hasOwn(value, "cause") ? [this.add(value.cause)] : [];
      return ["e", name, `${value.message}`, typeof value.stack === "string" ? value.stack : "", ...cause];
    }
  }

  class Builder {
    constructor(list) { this.list = list; this.made = new Map(); }

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
      const error = this.keep(index, new errorTypes[name](message));
      Object.defineProperty(error, "stack", { value: stack, writable: true, enumerable: false, configurable: true });
      if (cause !== undefined) Object.defineProperty(error, "cause", { value: this.get(cause), writable: true, enumerable: false, configurable: true });
      return error;
    }
  }

  realm.viewName = (view) => {
    const name = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Int8Array.prototype), Symbol.toStringTag).get.call(view);
    return name ?? "DataView";
  };
  realm.isPlatform = (value) => realm.isHeaders(value) || realm.isRequest(value) || realm.isResponse(value) ||
    realm.isStream(value) || value instanceof realm.EventTarget || value instanceof realm.Event;

  /// How to make a copy of a platform object that can be cloned, from parts that never change; null for others.
  realm.sharedCopy = (value) => {
    if (value instanceof DOMException) {
      const { message, name, stack } = value;
      return () => Object.defineProperty(new DOMException(message, name), "stack", { value: stack, writable: true, configurable: true });
    }
    return realm.blobCopy(value) ?? realm.crypto.keyCopy(value);
  };

  function structuredClone(value, options) {
    realm.needs(arguments.length, 1, "structuredClone");
    const transfer = [...(options?.transfer ?? [])];
    for (const one of transfer) if (!(one instanceof ArrayBuffer)) refuse(one);
    const flat = new Flattener(1_000_000, true);
    const root = flat.add(value);
    const copy = new Builder(flat.list).get(root);
    for (const one of transfer) native.detach(one);
    return copy;
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
