// URL and URLSearchParams (URL standard, sections 5 and 6).
{
  const { percentEncode, percentDecode, percentSets: sets, parseURL, serializeURL, serializePath, parseHost } = realm;
  const { Parser, defaultPorts, isSpecial } = realm.urlParts;
  const lone = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
  realm.hasLoneSurrogate = (text) => /[\ud800-\udfff]/.test(text) && lone.test(text);
  const everyLone = new RegExp(lone.source, "g");
  /// A string as Web IDL's USVString.
  const scalars = (value) => {
    const text = `${value}`;
    return realm.hasLoneSurrogate(text) ? text.replace(everyLone, "\ufffd") : text;
  };
  realm.scalars = scalars;

  function parseForm(text) {
    const pairs = [];
    for (const part of text.split("&")) {
      if (part === "") continue;
      const equals = part.indexOf("=");
      const name = equals < 0 ? part : part.slice(0, equals);
      const value = equals < 0 ? "" : part.slice(equals + 1);
      pairs.push([formText(name), formText(value)]);
    }
    return pairs;
  }
  function formText(text) {
    const spaced = text.includes("+") ? text.replaceAll("+", " ") : text;
    return spaced.includes("%") ? realm.decodeRaw(percentDecode(spaced)) : scalars(spaced);
  }

  const formPlain = "*-._0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz ";
  const formSet = realm.characterSet((code) => !formPlain.includes(String.fromCharCode(code)));
  const formEncode = (text) => percentEncode(text, formSet).replaceAll(" ", "+");
  const serializeForm = (pairs) => pairs.map(([name, value]) => `${formEncode(name)}=${formEncode(value)}`).join("&");
  realm.parseForm = parseForm;

  /// The entries of a record, a sequence of pairs, or a query string.
  function pairsOf(init) {
    if (typeof init !== "object" && typeof init !== "function" || init === null) {
      const text = scalars(init);
      return parseForm(text[0] === "?" ? text.slice(1) : text);
    }
    if (typeof init[Symbol.iterator] !== "function") {
      const found = new Map();
      for (const key of Reflect.ownKeys(init)) {
        if (Object.getOwnPropertyDescriptor(init, key)?.enumerable) found.set(scalars(key), scalars(init[key]));
      }
      return [...found];
    }
    return Array.from(init, (pair) => {
      const two = typeof pair === "object" && pair !== null ? Array.from(pair) : [];
      if (two.length !== 2) throw new TypeError("URLSearchParams: each pair must be an iterable of [name, value]");
      return [scalars(two[0]), scalars(two[1])];
    });
  }

  let attach, refresh, listOf;
  class URLSearchParams {
    #list; #changed = null;
    constructor(init = "") { this.#list = pairsOf(init); }
    get size() { return this.#list.length; }
    append(name, value) {
      realm.needs(arguments.length, 2, "URLSearchParams.append");
      this.#list.push([scalars(name), scalars(value)]);
      this.#changed?.(serializeForm(this.#list));
    }
    delete(name, value = undefined) {
      realm.needs(arguments.length, 1, "URLSearchParams.delete");
      const key = scalars(name), only = value === undefined ? undefined : scalars(value);
      this.#list = this.#list.filter((pair) => pair[0] !== key || (only !== undefined && pair[1] !== only));
      this.#changed?.(serializeForm(this.#list));
    }
    get(name) {
      realm.needs(arguments.length, 1, "URLSearchParams.get");
      const key = scalars(name);
      return this.#list.find((pair) => pair[0] === key)?.[1] ?? null;
    }
    getAll(name) {
      realm.needs(arguments.length, 1, "URLSearchParams.getAll");
      const key = scalars(name);
      return this.#list.filter((pair) => pair[0] === key).map((pair) => pair[1]);
    }
    has(name, value = undefined) {
      realm.needs(arguments.length, 1, "URLSearchParams.has");
      const key = scalars(name), only = value === undefined ? undefined : scalars(value);
      return this.#list.some((pair) => pair[0] === key && (only === undefined || pair[1] === only));
    }
    set(name, value) {
      realm.needs(arguments.length, 2, "URLSearchParams.set");
      const key = scalars(name), text = scalars(value);
      const first = this.#list.find((pair) => pair[0] === key);
      if (first) {
        first[1] = text;
        this.#list = this.#list.filter((pair) => pair === first || pair[0] !== key);
      } else {
        this.#list.push([key, text]);
      }
      this.#changed?.(serializeForm(this.#list));
    }
    sort() {
      this.#list.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
      this.#changed?.(serializeForm(this.#list));
    }
    forEach(callback, self = undefined) {
      if (typeof callback !== "function") throw new TypeError("URLSearchParams.forEach: the callback is not a function");
      for (let i = 0; i < this.#list.length; i++) callback.call(self, this.#list[i][1], this.#list[i][0], this);
    }
    keys() { return realm.liveIterator(this, () => this.#list, (pair) => pair[0], "URLSearchParams"); }
    values() { return realm.liveIterator(this, () => this.#list, (pair) => pair[1], "URLSearchParams"); }
    entries() { return realm.liveIterator(this, () => this.#list, (pair) => [pair[0], pair[1]], "URLSearchParams"); }
    toString() { return serializeForm(this.#list); }
    static {
      attach = (params, changed) => { params.#changed = changed; };
      refresh = (params, query) => { params.#list = parseForm(query); };
      listOf = (params) => (#list in params ? params.#list : null);
    }
  }
  realm.searchParamsText = (value) => (typeof value === "object" && value !== null && listOf(value) ? serializeForm(listOf(value)) : null);

  // Iterators of this prelude share one prototype per interface, as Web IDL has it.
  const iteratorPrototypes = new Map();
  const iteratorState = new WeakMap();
  const arrayIteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
  realm.liveIterator = (target, list, pick, name) => {
    let prototype = iteratorPrototypes.get(name);
    if (!prototype) {
      prototype = Object.create(arrayIteratorPrototype, {
        next: { value: iteratorNext, writable: true, enumerable: true, configurable: true },
        [Symbol.toStringTag]: { value: `${name} Iterator`, configurable: true },
      });
      iteratorPrototypes.set(name, prototype);
    }
    const iterator = Object.create(prototype);
    iteratorState.set(iterator, { list, pick, index: 0 });
    return iterator;
  };
  function iteratorNext() {
    const state = iteratorState.get(this);
    if (!state) throw new TypeError("next: not an iterator of this kind");
    const list = state.list();
    if (state.index >= list.length) return { value: undefined, done: true };
    return { value: state.pick(list[state.index++]), done: false };
  }
  realm.brand(URLSearchParams);
  Object.defineProperty(URLSearchParams.prototype, Symbol.iterator, {
    value: URLSearchParams.prototype.entries, writable: true, configurable: true,
  });

  class URL {
    #url; #params = null;
    constructor(input, base = undefined) {
      realm.needs(arguments.length, 1, "URL");
      this.#url = URL.#parsed(input, base);
      if (!this.#url) throw new TypeError(`Invalid URL: "${realm.clip(`${input}`, 200)}"`);
    }
    static #parsed(input, base) {
      const against = base === undefined ? null : parseURL(scalars(base));
      return base !== undefined && against === null ? null : parseURL(scalars(input), against);
    }
    static parse(input, base = undefined) {
      realm.needs(arguments.length, 1, "URL.parse");
      const parsed = URL.#parsed(input, base);
      if (parsed === null) return null;
      const url = new URL("about:blank");
      url.#url = parsed;
      return url;
    }
    static canParse(input, base = undefined) {
      realm.needs(arguments.length, 1, "URL.canParse");
      return URL.#parsed(input, base) !== null;
    }
    get href() { return serializeURL(this.#url); }
    set href(value) {
      const url = parseURL(scalars(value));
      if (!url) throw new TypeError(`Invalid URL: "${realm.clip(`${value}`, 200)}"`);
      this.#url = url;
      if (this.#params) refresh(this.#params, url.query ?? "");
    }
    get origin() {
      const { scheme, host, port, opaque } = this.#url;
      if (scheme === "blob:" && opaque !== null) {
        const inner = parseURL(opaque);
        return inner && /^https?:$/.test(inner.scheme) ? inner.scheme + "//" + inner.host + (inner.port === null ? "" : ":" + inner.port) : "null";
      }
      return !isSpecial(scheme) || scheme === "file:" ? "null" : scheme + "//" + host + (port === null ? "" : ":" + port);
    }
    get protocol() { return this.#url.scheme; }
    set protocol(value) {
      const found = /^([A-Za-z][A-Za-z0-9+.-]*)(?::|$)/.exec(scalars(value).replace(/[\t\n\r]/g, ""));
      if (!found) return;
      const url = this.#url, scheme = found[1].toLowerCase() + ":";
      if (isSpecial(scheme) !== isSpecial(url.scheme)) return;
      if (scheme === "file:" && (url.username !== "" || url.password !== "" || url.port !== null)) return;
      if (url.scheme === "file:" && (url.host === "" || url.host === null)) return;
      url.scheme = scheme;
      if (url.port === defaultPorts[scheme]) url.port = null;
    }
    get username() { return this.#url.username; }
    set username(value) { if (!this.#noAuthority()) this.#url.username = percentEncode(scalars(value), sets.userinfo); }
    get password() { return this.#url.password; }
    set password(value) { if (!this.#noAuthority()) this.#url.password = percentEncode(scalars(value), sets.userinfo); }
    #noAuthority() { return !this.#url.host || this.#url.scheme === "file:"; }
    get host() { return (this.#url.host ?? "") + (this.#url.port === null ? "" : ":" + this.#url.port); }
    set host(value) { this.#setHost(value, true); }
    get hostname() { return this.#url.host ?? ""; }
    set hostname(value) { this.#setHost(value, false); }
    #setHost(value, withPort) {
      const url = this.#url, special = isSpecial(url.scheme);
      if (url.opaque !== null) return;
      const text = scalars(value).replace(/[\t\n\r]/g, "");
      const authority = text.slice(0, (text + "/").search(special ? /[/\\?#]/ : /[/?#]/));
      const found = /^((?:\[[^\]]*\]?|[^:[])*)(:(.*))?$/s.exec(authority);
      if (!found || (found[2] !== undefined && (found[1] === "" || (!withPort && url.scheme !== "file:")))) return;
      if (url.scheme === "file:" && found[2] !== undefined) return;
      if (found[1] === "" && (special ? url.scheme !== "file:" : url.username !== "" || url.password !== "" || url.port !== null)) return;
      const host = found[1] === "" ? "" : parseHost(found[1], special);
      if (host === null) return;
      url.host = url.scheme === "file:" && host === "localhost" ? "" : host;
      if (withPort && found[3]) this.port = found[3];
    }
    get port() { return this.#url.port === null ? "" : `${this.#url.port}`; }
    set port(value) {
      if (this.#noAuthority()) return;
      const given = scalars(value), text = given.replace(/[\t\n\r]/g, "");
      const digits = /^[0-9]*/.exec(text)[0];
      if (given === "") this.#url.port = null;
      else if (digits !== "") new Parser("", null, this.#url).setPort(digits);
    }
    get pathname() { return serializePath(this.#url); }
    set pathname(value) {
      const url = this.#url;
      if (url.opaque !== null) return;
      url.path = [];
      const parser = new Parser("", null, url);
      let text = scalars(value).replace(/[\t\n\r]/g, "");
      if (text === "" && !isSpecial(url.scheme)) { if (url.host === null) url.path = [""]; return; }
      if (text[0] === "/" || (isSpecial(url.scheme) && text[0] === "\\")) text = text.slice(1);
      const segments = text.split(isSpecial(url.scheme) ? /[/\\]/ : "/");
      segments.forEach((segment, index) => parser.segment(segment, index === segments.length - 1));
    }
    get search() { return this.#url.query ? "?" + this.#url.query : ""; }
    set search(value) {
      const text = scalars(value).replace(/[\t\n\r]/g, "");
      const query = text[0] === "?" ? text.slice(1) : text;
      this.#url.query = text === "" ? null : percentEncode(query, isSpecial(this.#url.scheme) ? sets.specialQuery : sets.query);
      if (this.#params) refresh(this.#params, query);
    }
    get searchParams() {
      if (!this.#params) {
        this.#params = new URLSearchParams(this.#url.query ?? "");
        if (this.#url.query?.[0] === "?") refresh(this.#params, this.#url.query);
        attach(this.#params, (query) => { this.#url.query = query === "" ? null : query; });
      }
      return this.#params;
    }
    get hash() { return this.#url.fragment ? "#" + this.#url.fragment : ""; }
    set hash(value) {
      const text = scalars(value).replace(/[\t\n\r]/g, "");
      this.#url.fragment = text === "" ? null : percentEncode(text[0] === "#" ? text.slice(1) : text, sets.fragment);
    }
    toString() { return serializeURL(this.#url); }
    toJSON() { return serializeURL(this.#url); }
  }
  realm.brand(URL);
  realm.URLSearchParams = URLSearchParams;
  realm.expose({ URL, URLSearchParams });
}
