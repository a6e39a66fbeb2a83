// env.NAME of a key-value namespace, with the interface of Cloudflare's KV; Azion.KV is another door to the same.
{
  // Numbers shared with StoreRequest.Kind and PackedStoreAnswer.Kind in Swift.
  const kinds = { get: 0, put: 1, delete: 2, list: 3 };
  const answers = { missing: 0, entry: 1, done: 2, page: 3, failed: 4 };
  const types = ["text", "json", "arrayBuffer", "stream"];
  const mostKeys = 100;   // of one get()

  function ask(store, what, kind, key, value, metadata, expiration, lifetime, after, limit) {
    const call = realm.owner(`env.${store.name}.${what}`);
    const id = native.store(call.slot, call.epoch, store.index, kind, key, value, metadata, expiration, lifetime, after, limit);
    return call.wait(`store ${id}`);
  }

  /// The same for `caches`, by kind of request.
  realm.askCache = (what, key, value = null, lifetime = 0) =>
    ask({ index: -1, name: "caches" }, what, kinds[what], key, value, "", 0, lifetime, "", 1);

  /// What the host answers, as what `ask` promised.
  realm.stored = (settle, id, kind, value, text) => {
    const key = `store ${id}`;
    if (kind === answers.failed) settle(key, undefined, new Error(text));
    else if (kind === answers.entry) settle(key, { value, metadata: text });
    else if (kind === answers.page) settle(key, text);
    else settle(key, kind === answers.done ? true : null);
  };

  function typeOf(options, what) {
    const type = typeof options === "object" && options !== null ? options.type ?? "text" : options ?? "text";
    if (!types.includes(type)) throw new TypeError(`${what}: the type is one of ${types.join(", ")}`);
    return type;
  }

  function typed(bytes, type) {
    if (type === "arrayBuffer") return bytes.buffer;
    if (type === "stream") return new Response(bytes).body;
    const text = realm.decodeRaw(bytes);
    return type === "json" ? JSON.parse(text) : text;
  }

  /// The value and metadata of one key; null when there is none.
  async function entry(store, what, key, type) {
    const found = await ask(store, what, kinds.get, key, null, "", 0, 0, "", 1);
    return found === null ? null : { value: typed(found.value, type), metadata: found.metadata === "" ? null : JSON.parse(found.metadata) };
  }

  /// One key or a list of them (then a Map), as `use` shows an entry.
  async function read(store, what, keys, options, use) {
    const type = typeOf(options, what);
    if (!Array.isArray(keys)) return use(await entry(store, what, `${keys}`, type));
    if (keys.length > mostKeys) throw new RangeError(`${what}: at most ${mostKeys} keys at once`);
    if (type !== "text" && type !== "json") throw new TypeError(`${what}: several keys are read as text or json`);
    const found = await Promise.all(keys.map((key) => entry(store, what, `${key}`, type)));
    return new Map(keys.map((key, index) => [`${key}`, use(found[index])]));
  }

  async function bytesOf(value, isAzion) {
    if (typeof value === "string") return value;
    if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return realm.bytesOf(value);
    if (realm.isStream(value)) return realm.bodyBytes(realm.extractBody(value).take("put"));
    if (isAzion && typeof value === "object" && value !== null) return JSON.stringify(value);
    throw new TypeError("put: the value is a string, an ArrayBuffer, a view of one, or a ReadableStream");
  }

  function seconds(value, name) {
    if (value === undefined || value === null) return 0;
    const number = Number(value);
    if (!(number >= 1)) throw new RangeError(`put: ${name} is a number of seconds, at least 1`);
    return Math.floor(number);
  }

  const secret = Symbol("namespace");
  class KVNamespace {
    #store;
    constructor(token, index, name, isAzion) {
      if (token !== secret) throw new TypeError("Illegal constructor");
      this.#store = { index, name, isAzion };
    }
    async get(key, options) {
      realm.needs(arguments.length, 1, "get");
      return read(this.#store, "get", key, options, (found) => (found === null ? null : found.value));
    }
    async getWithMetadata(key, options) {
      realm.needs(arguments.length, 1, "getWithMetadata");
      return read(this.#store, "getWithMetadata", key, options, (found) => found ?? { value: null, metadata: null });
    }
    async put(key, value, options) {
      realm.needs(arguments.length, 2, "put");
      const given = realm.dictionary(options, "put: the options");
      const lifetime = seconds(given.expirationTtl, "expirationTtl"), end = seconds(given.expiration, "expiration");
      const metadata = given.metadata === undefined || given.metadata === null ? "" : JSON.stringify(given.metadata) ?? "";
      const bytes = await bytesOf(value, this.#store.isAzion);
      await ask(this.#store, "put", kinds.put, `${key}`, bytes, metadata, end, lifetime, "", 1);
    }
    async delete(key) {
      realm.needs(arguments.length, 1, "delete");
      await ask(this.#store, "delete", kinds.delete, `${key}`, null, "", 0, 0, "", 1);
    }
    async list(options) {
      const { prefix, limit, cursor } = realm.dictionary(options, "list: the options");
      const after = cursor === undefined || cursor === null || cursor === "" ? "" : unwrap(`${cursor}`);
      const most = limit === undefined || limit === null ? 1000 : Math.trunc(Number(limit));
      const page = JSON.parse(await ask(this.#store, "list", kinds.list, prefix === undefined || prefix === null ? "" : `${prefix}`,
        null, "", 0, 0, after, Number.isFinite(most) ? Math.max(-1, Math.min(most, 1e6)) : 0));
      if (page.cursor === null) delete page.cursor;
      else page.cursor = native.base64(String.fromCharCode(...realm.encode(page.cursor)));
      return page;
    }
  }
  realm.brand(KVNamespace);

  /// Cursors are opaque for hooks: base64 of the name they stand for.
  function unwrap(cursor) {
    const name = native.unbase64(cursor);
    if (name === null) throw new TypeError("list: the cursor is not one that list() gave");
    return realm.decodeRaw(Uint8Array.from(name, (character) => character.charCodeAt(0)));
  }

  let granted = [];
  realm.newStores = (names) => {
    granted = names;
    return names.map((name, index) => Object.freeze(new KVNamespace(secret, index, name, false)));
  };

  /// `new Azion.KV()` is the first namespace of the function, `new Azion.KV("NAME")` the one that is granted by that name.
  realm.AzionKV = class KV extends KVNamespace {
    constructor(name) {
      const index = name === undefined ? 0 : granted.indexOf(`${name}`);
      if (!(index in granted)) throw new TypeError(name === undefined ? "no namespace is granted to this function" : `the namespace ${name} is not granted to this function`);
      super(secret, index, granted[index], true);
    }
  };
}
