// caches.default and caches.open(name), with the interface of Cloudflare's Cache API: whole answers to GET requests, kept in the
// worker's memory for the tenant and given up when there is too much. The host keeps bytes; here is what they mean (RFC 9111).
{
  // All of it in here, so that an isolate that never asks for it holds nothing of it.
  realm.lazy(["caches", "Cache", "CacheStorage"], () => {
    const mostBody = 1 << 20;
    const longest = 30 * 86400;   // seconds
    // Seconds that an answer lives which does not say how long, by status; others are not kept.
    const usual = { 200: 7200, 203: 7200, 301: 7200, 302: 1200, 303: 1200, 404: 180, 410: 180 };
    const token = Symbol("token");

    function directives(headers) {
      const found = new Map();
      for (const part of (headers.get("cache-control") ?? "").split(",")) {
        const [name, ...value] = part.split("=");
        if (name.trim() !== "") found.set(name.trim().toLowerCase(), value.join("=").trim().replace(/^"|"$/g, ""));
      }
      return found;
    }

    function seconds(text) {
      return /^\d+$/.test(text ?? "") ? Math.min(Number(text), longest) : 0;
    }

    /// How long an answer may be kept, in seconds; 0: not at all. `private=set-cookie` keeps it without its cookies.
    function lifetime(response) {
      const { headers } = response, control = directives(headers);
      if (control.has("no-store")) return 0;
      for (const name of ["private", "no-cache"]) if (control.has(name) && control.get(name).toLowerCase() !== "set-cookie") return 0;
      if (headers.has("set-cookie") && !control.has("private") && !control.has("no-cache")) return 0;
      const age = seconds(headers.get("age"));
      for (const name of ["s-maxage", "max-age"]) if (control.has(name)) return Math.max(0, seconds(control.get(name)) - age);
      if (headers.has("expires")) {
        const end = Date.parse(headers.get("expires")), date = Date.parse(headers.get("date") ?? "");
        const left = Math.trunc((end - (Number.isNaN(date) ? Date.now() : date)) / 1000) - age;
        return left > 0 ? Math.min(left, longest) : 0;
      }
      return usual[response.status] ?? 0;
    }

    /// What the key of an entry is made of: a hash of any length.
    const keyOf = (...parts) => native.base64(String.fromCharCode(...native.digest("SHA-256", realm.encode(JSON.stringify(parts)))));
    const list = (text) => (text ?? "").split(",").map((name) => name.trim().toLowerCase()).filter((name) => name !== "");

    function requestOf(input) {
      return realm.isRequest(input) ? input : new Request(input);
    }
    function addressOf(request) {
      const { url } = request, mark = url.indexOf("#");
      return mark < 0 ? url : url.slice(0, mark);
    }

    function packed(head, body) {
      const text = realm.encode(JSON.stringify(head)), all = new Uint8Array(4 + text.length + body.length);
      new DataView(all.buffer).setUint32(0, text.length);
      all.set(text, 4);
      all.set(body, 4 + text.length);
      return all;
    }
    function unpacked(bytes) {
      const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
      return { head: JSON.parse(realm.decodeRaw(bytes.subarray(4, 4 + length))), body: bytes.subarray(4 + length) };
    }

    /// The entry that answers a request: { head, body }, or null. Where answers vary the first entry names the fields.
    async function find(name, request) {
      const url = addressOf(request), key = keyOf(name, url);
      const found = await realm.askCache("get", key);
      if (found === null) return null;
      const first = unpacked(found.value);
      if (first.head.vary === undefined) return first;
      const variant = await realm.askCache("get", variantKey(name, url, first.head, request));
      return variant === null ? null : unpacked(variant.value);
    }
    function variantKey(name, url, { vary, id }, request) {
      return keyOf(name, url, id, vary.map((field) => request.headers.get(field) ?? ""));
    }

    // MARK: What a match answers

    const opaque = (tag) => tag.trim().replace(/^W\//, "");

    /// Whether the client has it already (RFC 9110 section 13.2.2).
    function isKnown(request, headers) {
      const tags = request.headers.get("if-none-match"), tag = headers.get("etag");
      if (tags !== null) return tags.trim() === "*" || tag !== null && tags.split(",").some((one) => opaque(one) === opaque(tag));
      const since = Date.parse(request.headers.get("if-modified-since") ?? ""), changed = Date.parse(headers.get("last-modified") ?? "");
      return changed <= since;
    }

    /// The one range that is asked for (RFC 9110 section 14.2): [first, last], or null for all of it; "none" when it lies outside.
    function rangeOf(request, headers, length) {
      const found = /^bytes=(\d*)-(\d*)$/.exec(request.headers.get("range") ?? "");
      if (found === null || found[1] === "" && found[2] === "") return null;
      const condition = request.headers.get("if-range");
      if (condition !== null && condition !== headers.get("etag") && condition !== headers.get("last-modified")) return null;
      const first = found[1] === "" ? Math.max(0, length - Number(found[2])) : Number(found[1]);
      const last = found[1] === "" || found[2] === "" ? length - 1 : Math.min(Number(found[2]), length - 1);
      if (found[1] !== "" && found[2] !== "" && Number(found[2]) < first) return null;
      return first >= length || last < first ? "none" : [first, last];
    }

    function answer(request, { head, body }) {
      const headers = new Headers(head.headers);
      headers.set("age", `${Math.max(0, Math.trunc((Date.now() - head.stored) / 1000)) + head.age}`);
      headers.set("cf-cache-status", "HIT");
      if (isKnown(request, headers)) return new Response(null, { status: 304, headers });
      const range = head.status === 200 ? rangeOf(request, headers, body.length) : null;
      if (range === "none") {
        headers.delete("content-length");
        headers.set("content-range", `bytes */${body.length}`);
        return new Response(null, { status: 416, headers });
      }
      if (range === null) return new Response(realm.isBare(head.status) ? null : body, { status: head.status, statusText: head.text, headers });
      headers.set("content-range", `bytes ${range[0]}-${range[1]}/${body.length}`);
      headers.delete("content-length");
      return new Response(body.subarray(range[0], range[1] + 1), { status: 206, headers });
    }
    realm.isBare = (status) => [101, 204, 205, 304].includes(status);

    // MARK: The interfaces

    class Cache {
      #name;
      constructor(key, name) {
        if (key !== token) throw new TypeError("Illegal constructor");
        this.#name = name;
      }
      async match(input, options) {
        realm.needs(arguments.length, 1, "Cache.match");
        const { ignoreMethod } = realm.dictionary(options, "Cache.match: the options"), request = requestOf(input);
        if (request.method !== "GET" && !ignoreMethod) return undefined;
        const found = await find(this.#name, request);
        return found === null ? undefined : answer(request, found);
      }
      async put(input, response) {
        realm.needs(arguments.length, 2, "Cache.put");
        const request = requestOf(input), name = this.#name;
        if (request.method !== "GET") throw new TypeError(`Cache.put: the request is a ${request.method}, and answers to GET are kept only`);
        if (!realm.isResponse(response)) throw new TypeError("Cache.put: the second argument is not a Response");
        if (response.status === 206) throw new TypeError("Cache.put: an answer with a part of something (206) is not kept");
        if (response.webSocket) throw new TypeError("Cache.put: a WebSocket is not kept");
        const vary = list(response.headers.get("vary"));
        if (vary.includes("*")) throw new TypeError("Cache.put: an answer with Vary: * fits no other request");
        if (response.bodyUsed) throw new TypeError("Cache.put: the body was used already");
        const keep = lifetime(response), url = addressOf(request);
        if (keep === 0 || seconds(response.headers.get("content-length")) > mostBody) {
          await response.body?.cancel();
          if (keep === 0) return undefined;
          throw new RangeError(`Cache.put: the body is larger than ${mostBody} bytes`);
        }
        const headers = [...response.headers].filter(([field]) => field !== "age" && field !== "set-cookie");
        const head = { status: response.status, text: response.statusText, headers, stored: Date.now(), age: seconds(response.headers.get("age")) };
        const varied = vary.map((field) => [field, request.headers.get(field) ?? ""]);
        const body = new Uint8Array(await response.arrayBuffer());
        if (body.length > mostBody) throw new RangeError(`Cache.put: the body is larger than ${mostBody} bytes`);
        if (vary.length === 0) { await realm.askCache("put", keyOf(name, url), packed(head, body), keep); return undefined; }
        const old = await realm.askCache("get", keyOf(name, url)), first = old === null ? null : unpacked(old.value).head;
        // The same fields again: what was kept for other requests stays.
        const same = first !== null && JSON.stringify(first.vary) === JSON.stringify(vary);
        const marker = { vary, id: same ? first.id : crypto.randomUUID(), until: Math.max(same ? first.until : 0, Date.now() + keep * 1000) };
        await realm.askCache("put", keyOf(name, url), packed(marker, new Uint8Array(0)), Math.ceil((marker.until - Date.now()) / 1000));
        await realm.askCache("put", keyOf(name, url, marker.id, varied.map((one) => one[1])), packed(head, body), keep);
        return undefined;
      }
      async delete(input, options) {
        realm.needs(arguments.length, 1, "Cache.delete");
        const { ignoreMethod } = realm.dictionary(options, "Cache.delete: the options"), request = requestOf(input);
        if (request.method !== "GET" && !ignoreMethod) return false;
        return (await realm.askCache("delete", keyOf(this.#name, addressOf(request)))) === true;
      }
    }
    realm.brand(Cache);

    class CacheStorage {
      #default = null;
      constructor(key) { if (key !== token) throw new TypeError("Illegal constructor"); }
      get default() { return (this.#default ??= new Cache(token, "")); }
      async open(name) {
        realm.needs(arguments.length, 1, "caches.open");
        return new Cache(token, `open ${realm.scalars(name)}`);
      }
    }
    realm.brand(CacheStorage);
    return { Cache, CacheStorage, caches: new CacheStorage(token) };
  });
}
