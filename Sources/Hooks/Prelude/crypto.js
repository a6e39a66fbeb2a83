// Web Crypto: keys, the operations, and the algorithms' register (Web Cryptography API, sections 12 to 18).
//
// The work is OpenSSL's (CV8/web_*.cc); here are names, parameters, usages and errors. All of it is made when a script
// first asks for `crypto.subtle` or one of the interfaces.
{
  const { DOMException, dictionary } = realm;
  const usagesInOrder = ["encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"];
  const token = Symbol("token");
  const C = realm.crypto = { algorithms: new Map(), parts: [] };

  C.fail = (name, message) => { throw new DOMException(message, name); };
  C.bytes = (value, what) => {
    if (!(value instanceof ArrayBuffer) && !ArrayBuffer.isView(value)) throw new TypeError(`${what} is not an ArrayBuffer or a view of one`);
    return realm.bytesOf(value).slice();
  };
  /// A number as Web IDL's [EnforceRange].
  C.count = (value, most, what) => {
    const number = Number(value);
    if (!Number.isFinite(number) || Math.trunc(number) < 0 || Math.trunc(number) > most) throw new TypeError(`${what} is not a number from 0 to ${most}`);
    return Math.trunc(number);
  };
  C.member = (object, name, what) => {
    const value = object[name];
    if (value === undefined) throw new TypeError(`${what}: ${name} is missing`);
    return value;
  };
  C.done = (result, what) => (result === null ? C.fail("OperationError", `${what} failed`) : result);

  // Kinds of work, shared with HookOperations.Kind in Swift.
  C.kinds = { rsa: 0, pbkdf2: 1, pair: 2 };
  /// Work that takes too long for a turn: done beside the requests; the bytes that come of it. The host stops it with the call.
  C.work = async (what, ...given) => {
    const call = realm.current;
    const id = native.work(call.slot, call.epoch, ...given);
    if (id < 0) C.fail("OperationError", `${what} failed`);
    const { bytes, message } = await call.wait(`work ${id}`);
    return message === "" ? bytes : C.fail("OperationError", `${what}: ${message}`);
  };

  // MARK: base64url, JSON Web Keys

  C.toText = (bytes) => {
    let text = "";
    for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096));
    return native.base64(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  };
  C.fromText = (text) => {
    const plain = typeof text === "string" && !/[^A-Za-z0-9_-]/.test(text) ? native.unbase64(text.replaceAll("-", "+").replaceAll("_", "/")) : null;
    if (plain === null) C.fail("DataError", "the JSON Web Key has a member that is not base64url");
    return Uint8Array.from(plain, (character) => character.charCodeAt(0));
  };
  const jwkMembers = ["alg", "crv", "d", "dp", "dq", "e", "ext", "k", "key_ops", "kty", "n", "p", "q", "qi", "use", "x", "y"];
  function readJWK(value) {
    if (typeof value !== "object" || value === null || value instanceof ArrayBuffer || ArrayBuffer.isView(value)) throw new TypeError("importKey: the key is not a JSON Web Key");
    const jwk = {};
    for (const name of jwkMembers) {
      const member = value[name];
      if (member === undefined) continue;
      jwk[name] = name === "ext" ? Boolean(member) : name === "key_ops" ? Array.from(member, String) : `${member}`;
    }
    return jwk;
  }
  /// What holds for the JSON Web Keys of every algorithm.
  C.checkJWK = (jwk, kty, use, extractable, usages) => {
    if (jwk.kty !== kty) C.fail("DataError", `the JSON Web Key's kty is not "${kty}"`);
    if (usages.length > 0 && jwk.use !== undefined && jwk.use !== use) C.fail("DataError", `the JSON Web Key's use is not "${use}"`);
    const { key_ops: operations } = jwk;
    if (operations !== undefined && (new Set(operations).size !== operations.length || usages.some((usage) => !operations.includes(usage)))) {
      C.fail("DataError", "the JSON Web Key's key_ops do not allow these usages");
    }
    if (jwk.ext === false && extractable) C.fail("DataError", "the JSON Web Key is not extractable");
  };

  // MARK: Algorithms

  C.hash = (value) => {
    const name = normalize(value, "digest").name;
    if (name === "MD5") C.fail("NotSupportedError", "MD5 is for digest() only");
    return Object.freeze({ name });
  };
  /// Registers an algorithm. `one` has a method for each operation it supports.
  C.define = (name, one) => { one.name = name; C.algorithms.set(name.toUpperCase(), one); };

  /// The algorithm and its parameters; NotSupportedError when it cannot do the operation.
  function normalize(value, operation) {
    const given = typeof value === "string" ? { name: value } : value;
    if (typeof given !== "object" && typeof given !== "function" || given === null) throw new TypeError("the algorithm is neither a name nor an object");
    const label = `${C.member(given, "name", "the algorithm")}`, found = C.algorithms.get(label.toUpperCase());
    if (found === undefined || found[operation] === undefined) C.fail("NotSupportedError", `${realm.clip(label, 40)} does not support ${operation}`);
    const parameters = found.parameters?.[operation]?.(given) ?? {};
    return { name: found.name, algorithm: found, parameters };
  }
  C.normalize = normalize;

  C.usages = (usages, allowed, what) => {
    for (const usage of usages) if (!allowed.includes(usage)) C.fail("SyntaxError", `a ${what} key cannot be used for ${usage}`);
  };
  function readUsages(value) {
    if (typeof value !== "object" || value === null) throw new TypeError("the key usages are not a sequence");
    const list = Array.from(value, String);
    for (const one of list) if (!usagesInOrder.includes(one)) throw new TypeError(`"${realm.clip(one, 40)}" is not a key usage`);
    return usagesInOrder.filter((one) => list.includes(one));
  }

  // MARK: CryptoKey

  let slotsOf, make;
  C.key = (slots) => make(slots);
  function makeKeyClass() {
    class CryptoKey {
      #slots; #shown = null;
      constructor(key, slots) {
        if (key !== token) throw new TypeError("Illegal constructor");
        this.#slots = slots;
      }
      get type() { return this.#slots.type; }
      get extractable() { return this.#slots.extractable; }
      get algorithm() { return this.#slots.algorithm; }
      get usages() { return (this.#shown ??= [...this.#slots.usages]); }
      static {
        slotsOf = (value, what) => {
          if (typeof value !== "object" || value === null || !(#slots in value)) throw new TypeError(`${what}: not a CryptoKey`);
          return value.#slots;
        };
        make = (slots) => new CryptoKey(token, slots);
      }
    }
    realm.brand(CryptoKey);
    return CryptoKey;
  }
  C.slots = (key, what = "the key") => slotsOf(key, what);
  C.keyCopy = (value) => {
    if (slotsOf === undefined) return null;
    try { const slots = slotsOf(value, ""); return () => make(slots); } catch { return null; }
  };

  /// The key of an operation: of this algorithm, and allowed to do it.
  function keyFor(key, name, usage) {
    const slots = slotsOf(key, usage);
    if (slots.algorithm.name !== name) C.fail("InvalidAccessError", `the key is for ${slots.algorithm.name}, not for ${name}`);
    if (usage !== null && !slots.usages.includes(usage)) C.fail("InvalidAccessError", `the key is not allowed to ${usage}`);
    return slots;
  }

  function checkUse(result) {
    const secret = result instanceof Object && "privateKey" in result ? result.privateKey : result;
    const slots = slotsOf(secret, "key");
    if (slots.type !== "public" && slots.usages.length === 0) C.fail("SyntaxError", "the key would have no usage");
    return result;
  }

  const formats = ["raw", "pkcs8", "spki", "jwk"];
  function formatOf(value) {
    const format = `${value}`;
    if (!formats.includes(format)) throw new TypeError(`"${realm.clip(format, 40)}" is not a key format`);
    return format;
  }
  async function importKey(format, data, algorithm, extractable, usages) {
    const { algorithm: one, parameters } = normalize(algorithm, "importKey");
    return checkUse(one.importKey(format, data, parameters, extractable, usages));
  }
  async function exportKey(format, key) {
    const slots = slotsOf(key, "exportKey"), one = C.algorithms.get(slots.algorithm.name.toUpperCase());
    if (one.exportKey === undefined) C.fail("NotSupportedError", `keys of ${one.name} cannot be exported`);
    if (!slots.extractable) C.fail("InvalidAccessError", "the key is not extractable");
    const result = one.exportKey(format, slots);
    if (format !== "jwk") return result.buffer;
    return { ...result, key_ops: [...slots.usages], ext: slots.extractable };
  }

  async function deriveBits(normal, key, usage, length) {
    const slots = keyFor(key, normal.name, usage);
    return normal.algorithm.deriveBits(normal.parameters, slots, length);
  }

  function makeSubtle() {
    class SubtleCrypto {
      constructor(key) { if (key !== token) throw new TypeError("Illegal constructor"); }
      async encrypt(algorithm, key, data) {
        realm.needs(arguments.length, 3, "encrypt");
        const normal = normalize(algorithm, "encrypt"), bytes = C.bytes(data, "the data");
        return bufferOf(normal.algorithm.encrypt(normal.parameters, keyFor(key, normal.name, "encrypt"), bytes));
      }
      async decrypt(algorithm, key, data) {
        realm.needs(arguments.length, 3, "decrypt");
        const normal = normalize(algorithm, "decrypt"), bytes = C.bytes(data, "the data");
        return bufferOf(normal.algorithm.decrypt(normal.parameters, keyFor(key, normal.name, "decrypt"), bytes));
      }
      async sign(algorithm, key, data) {
        realm.needs(arguments.length, 3, "sign");
        const normal = normalize(algorithm, "sign"), bytes = C.bytes(data, "the data");
        return bufferOf(normal.algorithm.sign(normal.parameters, keyFor(key, normal.name, "sign"), bytes));
      }
      async verify(algorithm, key, signature, data) {
        realm.needs(arguments.length, 4, "verify");
        const normal = normalize(algorithm, "verify"), given = C.bytes(signature, "the signature"), bytes = C.bytes(data, "the data");
        return normal.algorithm.verify(normal.parameters, keyFor(key, normal.name, "verify"), given, bytes);
      }
      async digest(algorithm, data) {
        realm.needs(arguments.length, 2, "digest");
        const normal = normalize(algorithm, "digest"), bytes = C.bytes(data, "the data");
        return C.done(native.digest(normal.name, bytes), "digest").buffer;
      }
      async generateKey(algorithm, extractable, usages) {
        realm.needs(arguments.length, 3, "generateKey");
        const wanted = readUsages(usages), normal = normalize(algorithm, "generateKey");
        return checkUse(await normal.algorithm.generateKey(normal.parameters, Boolean(extractable), wanted));
      }
      async deriveKey(algorithm, key, derived, extractable, usages) {
        realm.needs(arguments.length, 5, "deriveKey");
        const wanted = readUsages(usages), normal = normalize(algorithm, "deriveBits");
        const target = normalize(derived, "importKey"), { parameters, algorithm: lengths } = normalize(derived, "keyLength");
        const length = lengths.keyLength(parameters);
        const bits = await deriveBits(normal, key, "deriveKey", length);
        return checkUse(target.algorithm.importKey("raw", new Uint8Array(bits), target.parameters, Boolean(extractable), wanted));
      }
      async deriveBits(algorithm, key, length = null) {
        realm.needs(arguments.length, 2, "deriveBits");
        const normal = normalize(algorithm, "deriveBits");
        return deriveBits(normal, key, "deriveBits", length === null ? null : C.count(length, 0xffffffff, "the length"));
      }
      async importKey(format, data, algorithm, extractable, usages) {
        realm.needs(arguments.length, 5, "importKey");
        const kind = formatOf(format), wanted = readUsages(usages);
        const key = kind === "jwk" ? readJWK(data) : C.bytes(data, "the key");
        return importKey(kind, key, algorithm, Boolean(extractable), wanted);
      }
      async exportKey(format, key) {
        realm.needs(arguments.length, 2, "exportKey");
        return exportKey(formatOf(format), key);
      }
      async wrapKey(format, key, wrappingKey, algorithm) {
        realm.needs(arguments.length, 4, "wrapKey");
        const kind = formatOf(format), normal = wrapping(algorithm, "wrapKey", "encrypt");
        const slots = keyFor(wrappingKey, normal.name, "wrapKey"), exported = await exportKey(kind, key);
        const bytes = kind === "jwk" ? realm.encode(JSON.stringify(exported)) : new Uint8Array(exported);
        return bufferOf((normal.algorithm.wrapKey ?? normal.algorithm.encrypt)(normal.parameters, slots, bytes));
      }
      async unwrapKey(format, wrapped, unwrappingKey, algorithm, unwrapped, extractable, usages) {
        realm.needs(arguments.length, 7, "unwrapKey");
        const kind = formatOf(format), wanted = readUsages(usages), bytes = C.bytes(wrapped, "the wrapped key");
        const normal = wrapping(algorithm, "unwrapKey", "decrypt"), slots = keyFor(unwrappingKey, normal.name, "unwrapKey");
        normalize(unwrapped, "importKey");
        const plain = await (normal.algorithm.unwrapKey ?? normal.algorithm.decrypt)(normal.parameters, slots, bytes);
        const data = kind === "jwk" ? jwkIn(plain) : plain;
        return importKey(kind, data, unwrapped, Boolean(extractable), wanted);
      }
      /// As on other platforms: whether two buffers are equal, in constant time.
      timingSafeEqual(a, b) {
        const one = realm.bytesOf(a), other = realm.bytesOf(b);
        if (one.length !== other.length) throw new TypeError("timingSafeEqual: the buffers have different lengths");
        return native.sameBytes(one, other);
      }
    }
    realm.brand(SubtleCrypto);
    return SubtleCrypto;
  }
  /// Of bytes that are there, or will be.
  async function bufferOf(bytes) { return ArrayBuffer.isView(bytes) ? bytes.buffer : (await bytes).buffer; }
  function wrapping(algorithm, operation, otherwise) {
    try { return normalize(algorithm, operation); } catch (error) {
      if (error.name !== "NotSupportedError") throw error;
      return normalize(algorithm, otherwise);
    }
  }
  const jwkIn = (bytes) => readJWK(parsedJWK(realm.decode(bytes)));
  function parsedJWK(text) {
    try { return JSON.parse(text); } catch { return C.fail("DataError", "it is not a JSON Web Key"); }
  }

  /// `env.NAME` of a key, as a property: a CryptoKey that gives its bytes away to nobody.
  realm.boundKey = (name, { secret, format, usages, lenient, ...algorithm }) => {
    try {
      makeAll();
      const { algorithm: one, parameters } = normalize(algorithm, "importKey"), [kind, data] = keyText(format, secret);
      return { value: checkUse(one.importKey(kind, data, parameters, false, readUsages(usages))) };
    } catch (error) {
      const why = `the key ${name} cannot be made of its secret: ${error.message}`;
      // What a rehearsal has in the place of a secret need not be a key.
      if (lenient) return { get() { throw new TypeError(why); } };
      throw new TypeError(why);
    }
  };
  function keyText(format, text) {
    const bytes = (base64) => Uint8Array.from(native.unbase64(base64) ?? C.fail("DataError", "it is not base64"), (one) => one.charCodeAt(0));
    if (format === "raw") return ["raw", realm.encode(text)];
    if (format === "base64") return ["raw", bytes(text)];
    if (format === "jwk") return ["jwk", readJWK(parsedJWK(text))];
    const found = /-----BEGIN (PUBLIC|PRIVATE) KEY-----([^-]*)-----END \1 KEY-----/.exec(text);
    if (found === null) C.fail("DataError", "it is no PEM text of a PUBLIC KEY or PRIVATE KEY (PKCS #8)");
    return [found[1] === "PUBLIC" ? "spki" : "pkcs8", bytes(found[2])];
  }

  // MARK: The global objects

  const makeAll = realm.lazy(["CryptoKey", "SubtleCrypto"], () => {
    for (const part of C.parts) part();
    return { CryptoKey: makeKeyClass(), SubtleCrypto: makeSubtle() };
  });
  const integerViews = ["Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array", "BigInt64Array", "BigUint64Array"];
  let subtle = null;
  class Crypto {
    #own = true;
    constructor(key) { if (key !== token) throw new TypeError("Illegal constructor"); }
    get subtle() { this.#own; return (subtle ??= new (makeAll().SubtleCrypto)(token)); }
    getRandomValues(view) {
      this.#own;
      realm.needs(arguments.length, 1, "getRandomValues");
      if (!ArrayBuffer.isView(view)) throw new TypeError("getRandomValues: the argument is not a view of an ArrayBuffer");
      if (!integerViews.includes(realm.viewName(view))) C.fail("TypeMismatchError", "getRandomValues: the argument is not an integer typed array");
      if (view.byteLength > 65536) C.fail("QuotaExceededError", "getRandomValues: more than 65536 bytes asked for");
      native.random(view);
      return view;
    }
    randomUUID() {
      this.#own;
      const bytes = new Uint8Array(16);
      native.random(bytes);
      bytes[6] = (bytes[6] & 0x0f) | 0x40;
      bytes[8] = (bytes[8] & 0x3f) | 0x80;
      const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
    }
  }
  realm.brand(Crypto);
  realm.expose({ Crypto, crypto: new Crypto(token) });
}
