// The basic URL parser (URL standard, section 4.4) as one function per state.
{
  const { percentEncode, percentSets: sets, parseHost } = realm;
  const defaultPorts = { "http:": 80, "https:": 443, "ws:": 80, "wss:": 443, "ftp:": 21, "file:": null };
  const isSpecial = (scheme) => Object.hasOwn(defaultPorts, scheme);

  const newRecord = () => ({
    scheme: "", username: "", password: "", host: null, port: null, path: [], opaque: null, query: null, fragment: null,
  });
  const isDriveLetter = (text) => /^[A-Za-z][:|]$/.test(text);
  const startsWithDrive = (text) => /^[A-Za-z][:|](?:[/\\?#]|$)/.test(text);
  const singleDot = (segment) => /^(?:\.|%2e)$/i.test(segment);
  const doubleDot = (segment) => /^(?:\.|%2e){2}$/i.test(segment);

  function shorten(url) {
    if (url.scheme === "file:" && url.path.length === 1 && /^[A-Za-z]:$/.test(url.path[0])) return;
    url.path.pop();
  }

  /// One run of the parser over `rest`, the input after what is read already. Each step returns false for failure.
  class Parser {
    constructor(input, base, url, rest) { this.input = input; this.base = base; this.url = url; this.rest = rest ?? input; }

    get special() { return isSpecial(this.url.scheme); }

    /// Whether `index` of the rest is a "/" (or "\" in a special URL).
    slash(index) { return this.rest[index] === "/" || (this.special && this.rest[index] === "\\"); }

    start() {
      const scheme = /^[A-Za-z][A-Za-z0-9+.-]*:/.exec(this.input);
      if (!scheme) return this.noScheme();
      this.url.scheme = scheme[0].toLowerCase();
      this.rest = this.input.slice(scheme[0].length);
      if (this.url.scheme === "file:") return this.file();
      if (this.special) {
        if (this.base?.scheme === this.url.scheme && !/^\/\//.test(this.rest)) return this.relative();
        return this.authorityAfterSlashes();
      }
      if (this.rest.startsWith("//")) { this.rest = this.rest.slice(2); return this.authority(); }
      if (this.rest[0] === "/") return this.pathStart();
      return this.opaquePath();
    }

    noScheme() {
      const base = this.base;
      if (!base || (base.opaque !== null && this.input[0] !== "#")) return false;
      if (base.opaque !== null) {
        Object.assign(this.url, { scheme: base.scheme, opaque: base.opaque, query: base.query });
        return this.tail();
      }
      this.url.scheme = base.scheme;
      return base.scheme === "file:" ? this.file() : this.relative();
    }

    relative() {
      if (this.slash(0) && this.slash(1)) {
        if (this.special) return this.authorityAfterSlashes();
        this.rest = this.rest.slice(2);
        return this.authority();
      }
      const { username, password, host, port, path, query } = this.base;
      Object.assign(this.url, { username, password, host, port });
      if (this.slash(0)) return this.pathStart();
      return this.afterBase(path, query);
    }

    /// The rest is relative to a base's path: keeps what the rest does not replace.
    afterBase(path, query) {
      this.url.path = [...path];
      const next = this.rest[0];
      if (next === undefined || next === "#") this.url.query = query;
      else if (next !== "?") { shorten(this.url); return this.path(); }
      return this.tail();
    }

    authorityAfterSlashes() {
      this.rest = this.rest.replace(/^[/\\]*/, "");
      return this.authority();
    }

    authority() {
      const end = this.special ? this.rest.search(/[/\\?#]/) : this.rest.search(/[/?#]/);
      const text = end < 0 ? this.rest : this.rest.slice(0, end);
      this.rest = end < 0 ? "" : this.rest.slice(end);
      const at = text.lastIndexOf("@");
      if (at >= 0 && !this.credentials(text.slice(0, at), at + 1 === text.length)) return false;
      return this.hostAndPort(text.slice(at + 1)) && this.pathStart();
    }

    credentials(text, noHost) {
      if (noHost) return false;
      const colon = text.indexOf(":");
      this.url.username = percentEncode(colon < 0 ? text : text.slice(0, colon), sets.userinfo);
      this.url.password = colon < 0 ? "" : percentEncode(text.slice(colon + 1), sets.userinfo);
      return true;
    }

    hostAndPort(text) {
      const split = /^((?:\[[^\]]*\]?|[^:[])*)(?::(.*))?$/s.exec(text);
      if (!split) return false;
      const [, host, port] = split;
      if (host === "" && (this.special || port !== undefined)) return false;
      this.url.host = host === "" ? "" : parseHost(host, this.special);
      return this.url.host !== null && (port === undefined || this.setPort(port));
    }

    setPort(text) {
      if (!/^[0-9]*$/.test(text)) return false;
      const port = text === "" ? null : Number(text);
      if (port > 65535) return false;
      this.url.port = port === defaultPorts[this.url.scheme] ? null : port;
      return true;
    }

    file() {
      this.url.scheme = "file:";
      this.url.host = "";
      const base = this.base?.scheme === "file:" ? this.base : null;
      if (this.slash(0) && this.slash(1)) { this.rest = this.rest.slice(2); return this.fileHost(); }
      if (this.slash(0)) {
        if (base) {
          this.url.host = base.host;
          const drive = /^[A-Za-z]:$/.test(base.path[0] ?? "") && !startsWithDrive(this.rest.slice(1));
          if (drive) this.url.path = [base.path[0]];
        }
        this.rest = this.rest.slice(1);
        return this.path();
      }
      if (!base) return this.path();
      this.url.host = base.host;
      if (!startsWithDrive(this.rest)) return this.afterBase(base.path, base.query);
      this.url.path = [];
      return this.path();
    }

    fileHost() {
      const end = this.rest.search(/[/\\?#]/);
      const text = end < 0 ? this.rest : this.rest.slice(0, end);
      if (isDriveLetter(text)) return this.path();
      this.rest = end < 0 ? "" : this.rest.slice(end);
      if (text !== "") {
        const host = parseHost(text, true);
        if (host === null) return false;
        this.url.host = host === "localhost" ? "" : host;
      }
      return this.pathStart();
    }

    pathStart() {
      if (this.special) {
        if (this.slash(0)) this.rest = this.rest.slice(1);
        return this.path();
      }
      if (this.rest[0] === "/") { this.rest = this.rest.slice(1); return this.path(); }
      return this.tail();
    }

    path() {
      const end = this.rest.search(/[?#]/);
      const text = end < 0 ? this.rest : this.rest.slice(0, end);
      this.rest = end < 0 ? "" : this.rest.slice(end);
      const segments = text.split(this.special ? /[/\\]/ : "/");
      segments.forEach((segment, index) => this.segment(segment, index === segments.length - 1));
      return this.tail();
    }

    segment(segment, last) {
      const path = this.url.path;
      if (doubleDot(segment)) {
        shorten(this.url);
        if (last) path.push("");
      } else if (singleDot(segment)) {
        if (last) path.push("");
      } else {
        const drive = this.url.scheme === "file:" && path.length === 0 && isDriveLetter(segment);
        path.push(drive ? segment[0] + ":" : percentEncode(segment, sets.path));
      }
    }

    opaquePath() {
      const end = this.rest.search(/[?#]/);
      const path = end < 0 ? this.rest : this.rest.slice(0, end);
      // A space in front of a query or a fragment would be lost with them.
      this.url.opaque = end > 0 && path[end - 1] === " " ? percentEncode(path.slice(0, -1), sets.c0) + "%20" : percentEncode(path, sets.c0);
      this.rest = end < 0 ? "" : this.rest.slice(end);
      return this.tail();
    }

    /// Query and fragment.
    tail() {
      const hash = this.rest.indexOf("#");
      if (hash >= 0) this.url.fragment = percentEncode(this.rest.slice(hash + 1), sets.fragment);
      const query = hash < 0 ? this.rest : this.rest.slice(0, hash);
      if (query[0] === "?") this.url.query = percentEncode(query.slice(1), this.special ? sets.specialQuery : sets.query);
      return true;
    }
  }

  // The URLs of nearly every request: already in the form that the parser would give them.
  const plain = /^(https?:)\/\/([a-z][a-z0-9-]*(?:\.[a-z][a-z0-9-]*)*)(?::([1-9][0-9]{0,3}))?(\/[A-Za-z0-9\-_~!$&()*+,;=:@%/.]*)(?:\?([A-Za-z0-9\-._~!$&()*+,;=:@%/?]*))?$/;
  function parsePlain(input) {
    const found = plain.exec(input);
    if (!found || found[2].includes("xn--") || /\/(?:\.|%2e)/i.test(found[4])) return null;
    const port = found[3] === undefined ? null : Number(found[3]);
    const url = newRecord();
    url.scheme = found[1];
    url.host = found[2];
    url.port = port === defaultPorts[url.scheme] ? null : port;
    url.path = found[4].slice(1).split("/");
    url.query = found[5] ?? null;
    return url;
  }

  /// Parses `input` against a base record; null for failure.
  realm.parseURL = (input, base = null) => {
    const fast = parsePlain(input);
    if (fast) return fast;
    const text = input.replace(/^[\x00-\x20]+|[\x00-\x20]+$/g, "").replace(/[\t\n\r]/g, "");
    const url = newRecord();
    return new Parser(text, base, url).start() ? url : null;
  };

  realm.serializePath = (url) => (url.opaque !== null ? url.opaque : url.path.map((segment) => "/" + segment).join(""));

  realm.serializeURL = (url, withFragment = true) => {
    let out = url.scheme;
    if (url.host !== null) {
      out += "//" + url.username + (url.password === "" ? "" : ":" + url.password);
      out += (url.username === "" && url.password === "" ? "" : "@") + url.host + (url.port === null ? "" : ":" + url.port);
    } else if (url.opaque === null && url.path.length > 1 && url.path[0] === "") {
      out += "/.";
    }
    out += realm.serializePath(url);
    if (url.query !== null) out += "?" + url.query;
    return withFragment && url.fragment !== null ? out + "#" + url.fragment : out;
  };

  realm.urlParts = { Parser, defaultPorts, isSpecial };
}
