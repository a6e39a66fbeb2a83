// URLPattern: its eight components, its constructor's text form, and matching (URL Pattern standard, sections 1 and 3).
{
  const P = realm.patterns;
  const { wrong } = P;
  const components = ["protocol", "username", "password", "hostname", "port", "pathname", "search", "hash"];
  const special = new Set(["http", "https", "ws", "wss", "ftp", "file"]);
  const defaultPorts = { http: "80", https: "443", ws: "80", wss: "443", ftp: "21" };
  const { percentSets: sets, percentEncode } = realm;

  // MARK: Canonical forms of the components

  const canonical = {
    protocol(value) {
      if (value === "") return value;
      const url = realm.parseURL(`${value}://dummy.test`);
      return url === null ? wrong(`"${realm.clip(value, 40)}" is no protocol`) : url.scheme.slice(0, -1);
    },
    username: (value) => percentEncode(value, sets.userinfo),
    password: (value) => percentEncode(value, sets.userinfo),
    hostname(value) {
      if (value === "") return value;
      const cut = value.replace(/[\t\n\r]/g, ""), end = cut.search(/[/?#\\]/);
      const host = realm.parseHost(end < 0 ? cut : cut.slice(0, end), true);
      return host ?? wrong(`"${realm.clip(value, 60)}" is no host`);
    },
    ipv6(value) {
      if (/[^0-9a-fA-F[\]:]/.test(value)) wrong("an IPv6 address with other characters");
      return value.toLowerCase();
    },
    port(value, protocol) {
      if (value === "") return value;
      const digits = /^[0-9]+/.exec(value.replace(/[\t\n\r]/g, ""))?.[0];
      if (digits === undefined || Number(digits) > 65535) wrong(`"${realm.clip(value, 20)}" is no port`);
      const port = String(Number(digits));
      return port === defaultPorts[protocol] ? "" : port;
    },
    pathname(value) {
      if (value === "") return value;
      const rooted = value[0] === "/", url = new URL("http://dummy.test/");
      url.pathname = rooted ? value : `/-${value}`;
      return rooted ? url.pathname : url.pathname.slice(2);
    },
    opaque: (value) => percentEncode(value, sets.c0),
    search: (value) => percentEncode(value.replace(/[\t\n\r]/g, ""), sets.query),
    hash: (value) => percentEncode(value.replace(/[\t\n\r]/g, ""), sets.fragment),
  };

  /// Section 1.6, "process a URLPatternInit". `pattern`: the values are patterns and stay as they are.
  function process(init, pattern, filled) {
    const result = { ...filled };
    let base = null;
    if (init.baseURL !== undefined) {
      base = realm.parseURL(realm.scalars(init.baseURL));
      if (base === null) wrong("the base URL is malformed");
      inherit(result, base, init, pattern);
    }
    const plain = (name, value) => (pattern ? value : canonical[name](value, result.protocol ?? ""));
    if (init.protocol !== undefined) result.protocol = plain("protocol", init.protocol.replace(/:$/, ""));
    for (const name of ["username", "password", "hostname"]) if (init[name] !== undefined) result[name] = plain(name, init[name]);
    if (init.port !== undefined) result.port = plain("port", init.port);
    if (init.pathname !== undefined) result.pathname = pathname(init.pathname, base, result, pattern);
    if (init.search !== undefined) result.search = plain("search", init.search.replace(/^\?/, ""));
    if (init.hash !== undefined) result.hash = plain("hash", init.hash.replace(/^#/, ""));
    return result;
  }

  function inherit(result, base, init, pattern) {
    const escape = (text) => (pattern ? text.replace(/[+*?:{}()\\]/g, "\\$&") : text);
    const given = (...names) => names.some((name) => init[name] !== undefined);
    if (!given("protocol")) result.protocol = escape(base.scheme.slice(0, -1));
    if (!pattern && !given("protocol", "hostname", "port", "username")) result.username = escape(base.username);
    if (!pattern && !given("protocol", "hostname", "port", "username", "password")) result.password = escape(base.password);
    if (!given("protocol", "hostname")) result.hostname = escape(base.host ?? "");
    if (!given("protocol", "hostname", "port")) result.port = base.port === null ? "" : String(base.port);
    if (!given("protocol", "hostname", "port", "pathname")) result.pathname = escape(realm.serializePath(base));
    if (!given("protocol", "hostname", "port", "pathname", "search")) result.search = escape(base.query ?? "");
    if (!given("protocol", "hostname", "port", "pathname", "search", "hash")) result.hash = escape(base.fragment ?? "");
  }

  function pathname(value, base, result, pattern) {
    let path = value;
    const absolute = path[0] === "/" || (pattern && /^(\\\/|\{\/)/.test(path));
    if (base !== null && base.opaque === null && !absolute) {
      const from = realm.serializePath(base), slash = from.lastIndexOf("/");
      if (slash >= 0) path = from.slice(0, slash + 1).replace(/[+*?:{}()\\]/g, pattern ? "\\$&" : "$&") + path;
    }
    if (pattern) return path;
    return result.protocol === "" || special.has(result.protocol) ? canonical.pathname(path) : canonical.opaque(path);
  }

  // MARK: The text form of the constructor (section 1.5)

  class TextParser {
    constructor(text) {
      this.points = [...text];
      this.tokens = P.tokenize(text, true);
      this.result = {};
      this.start = 0;
      this.at = 0;
      this.step = 1;
      this.depth = 0;
      this.brackets = 0;
      this.special = false;
      this.state = "init";
    }
    value() { return this.points.slice(this.tokens[this.start].index, this.tokens[this.at].index).join(""); }
    token(index) { return this.tokens[Math.min(index, this.tokens.length - 1)]; }
    is(index, text) {
      const token = this.token(index);
      return token.value === text && ["char", "escaped", "invalid"].includes(token.kind);
    }
    isSearch() {
      if (this.is(this.at, "?")) return true;
      if (this.tokens[this.at].value !== "?") return false;
      const before = this.tokens[this.at - 1];
      return before === undefined || !["name", "regexp", "close", "asterisk"].includes(before.kind);
    }
    /// Ends the component under way and goes on with another.
    change(state, skip) {
      if (!["init", "authority", "done"].includes(this.state)) this.result[this.state] = this.value();
      if (this.state !== "init" && state !== "done") {
        const before = ["protocol", "authority", "username", "password"].includes(this.state);
        if (before && ["port", "pathname", "search", "hash"].includes(state)) this.result.hostname ??= "";
        if ((before || ["hostname", "port"].includes(this.state)) && ["search", "hash"].includes(state)) this.result.pathname ??= this.special ? "/" : "";
        if ((before || ["hostname", "port", "pathname"].includes(this.state)) && state === "hash") this.result.search ??= "";
      }
      this.state = state;
      this.at += skip;
      this.start = this.at;
      this.step = 0;
    }
    rewind(state) { this.at = this.start; this.step = 0; this.state = state; }
    parse() {
      while (this.at < this.tokens.length) {
        this.step = 1;
        const token = this.tokens[this.at];
        if (token.kind === "end") {
          if (this.state === "init") {
            this.rewind(this.is(this.at = this.start, "#") ? "hash" : this.isSearch() ? "search" : "pathname");
            if (this.state === "hash" || this.state === "search") this.at = this.start = this.at + 1;
            continue;
          }
          if (this.state === "authority") { this.rewind("hostname"); continue; }
          this.change("done", 0);
          break;
        }
        if (token.kind === "open") { this.depth++; this.at++; continue; }
        if (this.depth > 0) {
          if (token.kind !== "close") { this.at++; continue; }
          this.depth--;
        }
        this[this.state]();
        this.at += this.step;
      }
      if (this.result.hostname !== undefined) this.result.port ??= "";
      return this.result;
    }
    init() { if (this.is(this.at, ":")) this.rewind("protocol"); }
    protocol() {
      if (!this.is(this.at, ":")) return;
      const text = this.value();
      this.special = isSpecialPattern(text);
      const slashes = this.is(this.at + 1, "/") && this.is(this.at + 2, "/");
      if (slashes) this.change("authority", 3);
      else if (this.special) this.change("authority", 1);
      else this.change("pathname", 1);
    }
    authority() {
      if (this.is(this.at, "@")) this.rewind("username");
      else if (this.is(this.at, "/") || this.isSearch() || this.is(this.at, "#")) this.rewind("hostname");
    }
    username() {
      if (this.is(this.at, ":")) this.change("password", 1);
      else if (this.is(this.at, "@")) this.change("hostname", 1);
    }
    password() { if (this.is(this.at, "@")) this.change("hostname", 1); }
    hostname() {
      if (this.is(this.at, "[")) this.brackets++;
      else if (this.is(this.at, "]")) this.brackets--;
      else if (this.is(this.at, ":") && this.brackets === 0) this.change("port", 1);
      else this.port();
    }
    port() {
      if (this.is(this.at, "/")) this.change("pathname", 0);
      else this.pathname();
    }
    pathname() {
      if (this.isSearch()) this.change("search", 1);
      else this.search();
    }
    search() { if (this.is(this.at, "#")) this.change("hash", 1); }
    hash() {}
  }

  function isSpecialPattern(text) {
    const { source } = P.regexp(P.parse(text, canonical.protocol, { delimiter: "", prefix: "" }), { delimiter: "" });
    let expression;
    try { expression = new RegExp(source, "u"); } catch { wrong(`a regular expression is malformed: "${realm.clip(source, 60)}"`); }
    return [...special].some((scheme) => expression.test(scheme));
  }

  // MARK: Components

  function compile(text, encode, options, ignoreCase) {
    const parts = P.parse(text, encode, options), { source, names } = P.regexp(parts, options);
    let regexp;
    try { regexp = new RegExp(source, ignoreCase ? "ui" : "u"); } catch { wrong(`a regular expression is malformed: "${realm.clip(text, 60)}"`); }
    return { regexp, names, text: P.text(parts, options), hasGroups: parts.some((part) => part.type === "regexp") };
  }

  function compileAll(init, ignoreCase) {
    const plain = { delimiter: "", prefix: "" }, made = {};
    const value = (name) => init[name] ?? "*";
    if (special.has(init.protocol) && init.port === defaultPorts[init.protocol]) init.port = "";
    made.protocol = compile(value("protocol"), canonical.protocol, plain, false);
    made.username = compile(value("username"), canonical.username, plain, false);
    made.password = compile(value("password"), canonical.password, plain, false);
    const host = value("hostname"), isV6 = /^(\[|\{\[|\\\[)/.test(host);
    made.hostname = compile(host, isV6 ? canonical.ipv6 : canonical.hostname, { delimiter: ".", prefix: "" }, false);
    made.port = compile(value("port"), (text) => canonical.port(text, ""), plain, false);
    const isSpecial = [...special].some((scheme) => made.protocol.regexp.test(scheme));
    made.pathname = isSpecial ? compile(value("pathname"), canonical.pathname, { delimiter: "/", prefix: "/" }, ignoreCase)
      : compile(value("pathname"), canonical.opaque, plain, ignoreCase);
    made.search = compile(value("search"), canonical.search, plain, ignoreCase);
    made.hash = compile(value("hash"), canonical.hash, plain, ignoreCase);
    return made;
  }

  function readInit(value) {
    if (typeof value !== "object" && typeof value !== "function" || value === null) wrong("the pattern is neither a text nor an object");
    const init = {};
    for (const name of ["baseURL", ...components]) if (value[name] !== undefined) init[name] = realm.scalars(value[name]);
    return init;
  }

  function fromText(text, base) {
    const init = new TextParser(text).parse();
    if (base === undefined && init.protocol === undefined) wrong("a relative pattern needs a base URL");
    if (base !== undefined) init.baseURL = realm.scalars(base);
    return init;
  }

  function match(made, input, base) {
    const inputs = base === undefined ? [input] : [input, base], empty = Object.fromEntries(components.map((name) => [name, ""]));
    let values;
    if (typeof input === "object" && input !== null && !(input instanceof URL)) {
      if (base !== undefined) wrong("an object has its base URL in baseURL");
      try { values = process(readInit(input), false, empty); } catch { return null; }
    } else {
      const against = base === undefined ? null : realm.parseURL(realm.scalars(base));
      const url = base !== undefined && against === null ? null : realm.parseURL(realm.scalars(input), against);
      if (url === null) return null;
      values = {
        protocol: url.scheme.slice(0, -1), username: url.username, password: url.password, hostname: url.host ?? "",
        port: url.port === null ? "" : String(url.port), pathname: realm.serializePath(url), search: url.query ?? "", hash: url.fragment ?? "",
      };
    }
    const result = { inputs };
    for (const name of components) {
      const found = made[name].regexp.exec(values[name]);
      if (found === null) return null;
      const groups = {};
      made[name].names.forEach((label, index) => { groups[label] = found[index + 1]; });
      result[name] = { input: values[name], groups };
    }
    return result;
  }

  class URLPattern {
    #made;
    constructor(input = {}, base = undefined, options = undefined) {
      let given = options, from = base;
      if (typeof base === "object" && base !== null && options === undefined) { given = base; from = undefined; }
      const ignoreCase = Boolean(realm.dictionary(given, "URLPattern: the options").ignoreCase);
      let init;
      if (typeof input === "object" && input !== null) {
        if (from !== undefined) wrong("an object has its base URL in baseURL");
        init = readInit(input);
      } else init = fromText(realm.scalars(input), from);
      this.#made = compileAll(process(init, true, {}), ignoreCase);
    }
    test(input = {}, base = undefined) { return match(this.#made, input, base) !== null; }
    exec(input = {}, base = undefined) { return match(this.#made, input, base); }
    get protocol() { return this.#made.protocol.text; }
    get username() { return this.#made.username.text; }
    get password() { return this.#made.password.text; }
    get hostname() { return this.#made.hostname.text; }
    get port() { return this.#made.port.text; }
    get pathname() { return this.#made.pathname.text; }
    get search() { return this.#made.search.text; }
    get hash() { return this.#made.hash.text; }
    get hasRegExpGroups() { return components.some((name) => this.#made[name].hasGroups); }
  }
  realm.brand(URLPattern);
  realm.expose({ URLPattern });
}
