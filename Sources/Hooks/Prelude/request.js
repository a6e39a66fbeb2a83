// Request (Fetch standard, section 5.3), and the request of a live exchange.
{
  const { Headers, LiveBody, BodyHolder, parseURL, serializeURL } = realm;
  const live = Symbol("live");
  const known = new Set(["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"]);
  let stage, answer, liveOf;
  /// What the gateway cannot know by itself: rules tell it by variables of these names (`set_var`).
  const told = [
    "geoip_asn", "geoip_city", "geoip_city_continent_code", "geoip_city_country_code", "geoip_city_country_name", "geoip_continent_code",
    "geoip_country_code", "geoip_country_name", "geoip_region", "geoip_region_name", "remote_user",
  ];

  function methodName(value) {
    const text = `${value}`;
    if (!realm.isToken(text)) throw new TypeError(`"${realm.clip(text, 40)}" is not a request method`);
    const upper = text.toUpperCase();
    if (upper === "CONNECT" || upper === "TRACE" || upper === "TRACK") throw new TypeError(`the method ${upper} is not allowed`);
    return known.has(upper) ? upper : text;
  }

  function absolute(input) {
    const url = parseURL(realm.scalars(input));
    if (!url) throw new TypeError(`Invalid URL: "${realm.clip(`${input}`, 200)}"`);
    if (url.username !== "" || url.password !== "") throw new TypeError("Request: the URL holds a user name or password");
    return serializeURL(url);
  }

  // What a browser does with these, nobody does here; they are kept and shown, for code that looks at them.
  const choices = {
    cache: ["default", "no-store", "reload", "no-cache", "force-cache", "only-if-cached"],
    credentials: ["omit", "same-origin", "include"],
    duplex: ["half"],
    mode: ["navigate", "same-origin", "no-cors", "cors"],
    priority: ["high", "low", "auto"],
    redirect: ["follow", "error", "manual"],
    referrerPolicy: ["", "no-referrer", "no-referrer-when-downgrade", "same-origin", "origin", "strict-origin",
      "origin-when-cross-origin", "strict-origin-when-cross-origin", "unsafe-url"],
  };
  const defaults = Object.freeze({
    cache: "default", credentials: "same-origin", mode: "cors", referrerPolicy: "", referrer: "about:client", integrity: "", keepalive: false,
  });
  function choice(init, name) {
    const value = init[name];
    if (value === undefined) return undefined;
    const text = `${value}`;
    if (!choices[name].includes(text)) throw new TypeError(`Request: the ${name} "${realm.clip(text, 40)}" is not known`);
    return text;
  }
  function referrerOf(value) {
    const text = realm.scalars(value);
    if (text === "") return "";
    const url = parseURL(text);
    if (!url) throw new TypeError(`Request: the referrer "${realm.clip(text, 200)}" is not a URL`);
    return serializeURL(url);
  }
  /// The members of an init that change how a request says it was made; the very same object when there are none.
  function detailsOf(init, before, method) {
    const found = {};
    for (const name of ["cache", "credentials", "mode", "referrerPolicy"]) found[name] = choice(init, name);
    if (found.mode === "navigate") throw new TypeError("Request: the mode \"navigate\" is for browsers");
    const { referrer, integrity, keepalive } = init;
    if (referrer !== undefined) found.referrer = referrerOf(referrer);
    if (integrity !== undefined) found.integrity = `${integrity}`;
    if (keepalive !== undefined) found.keepalive = Boolean(keepalive);
    const details = { ...before };
    let changed = false;
    for (const name of Object.keys(found)) if (found[name] !== undefined) { details[name] = found[name]; changed = true; }
    if (!changed) return before;
    if (details.cache === "only-if-cached" && details.mode !== "same-origin") throw new TypeError("Request: only-if-cached is for the mode same-origin");
    if (details.mode === "no-cors" && !["GET", "HEAD", "POST"].includes(method)) throw new TypeError(`Request: the mode no-cors has no ${method}`);
    return details;
  }

  class Request {
    #slot = -1; #epoch = 0;              // of the exchange that this request is, or was copied from
    #method = null; #url = null;         // null: as in the exchange
    #headers = null; #body = null; #redirect = "follow"; #readOnly = false;
    #signal = null; #follows = null;     // the signal shown, made when asked for; the one that it depends on
    #details = defaults;

    constructor(input, init, epoch, readOnly) {
      if (input === live) {
        this.#slot = init;
        this.#epoch = epoch;
        this.#readOnly = readOnly;
        this.#redirect = "manual";
      } else {
        realm.needs(arguments.length, 1, "Request");
        this.#make(input, init);
      }
    }

    /// Apart from the constructor, which every call runs: what is small is compiled into what uses it.
    #make(input, init) {
      const from = typeof input === "object" && input !== null && #slot in input ? input : null;
      const given = realm.dictionary(init, "Request: the second argument"), { body } = given;
      const hasBody = body !== undefined && body !== null;
      if (from) this.#copy(from);
      else { this.#url = absolute(input); this.#method = "GET"; }
      if (init !== undefined && init !== null) this.#apply(given);
      this.#headers ??= new Headers();
      if (hasBody) this.#withBody(body);
      else if (from) this.#takeBody(from);
      else this.#body = new BodyHolder(null);
    }

    #copy(from) {
      if (from.#slot >= 0) {
        realm.alive(from.#slot, from.#epoch);
        this.#slot = from.#slot;
        this.#epoch = from.#epoch;
      }
      this.#method = from.#method;
      this.#url = from.#url;
      this.#redirect = from.#redirect;
      this.#follows = from.#signal ?? from.#follows;
      this.#details = from.#details;
      this.#headers = realm.overlayHeaders(from.headers, this.#slot, this.#epoch, 0);
    }
    #takeBody(from) {
      const holder = from.#holder();
      this.#body = new BodyHolder(holder.take("Request"), holder.type);
    }

    #apply(init) {
      if (init.method !== undefined) this.#method = methodName(init.method);
      const headers = init.headers;
      if (headers !== undefined) this.#adopt(headers);
      this.#redirect = choice(init, "redirect") ?? this.#redirect;
      choice(init, "priority");
      choice(init, "duplex");
      this.#details = detailsOf(init, this.#details, this.method);
      const { signal, window } = init;
      if (window !== undefined && window !== null) throw new TypeError("Request: window can be null only");
      if (signal === undefined) return;
      if (signal !== null && !realm.isSignal(signal)) throw new TypeError("Request: the signal is not an AbortSignal");
      this.#follows = signal;
    }

    /// Headers of the init: a live request given as init makes this one a copy of it too.
    #adopt(headers) {
      const from = realm.current;
      if (this.#slot < 0 && from && realm.isHeaders(headers)) {
        this.#headers = realm.overlayHeaders(headers, from.slot, from.epoch, 0);
        if (realm.isOverlay(this.#headers)) { this.#slot = from.slot; this.#epoch = from.epoch; }
      } else {
        this.#headers = realm.overlayHeaders(headers, this.#slot, this.#epoch, 0);
      }
    }

    #withBody(body) {
      const { method } = this, holder = realm.extractBody(body);
      // The body of the exchange itself may accompany any method: the client sent it so.
      const given = !(holder.source instanceof LiveBody);
      if (given && (method === "GET" || method === "HEAD")) throw new TypeError(`Request: a ${method} request has no body`);
      if (this.#details.keepalive && realm.isStream(holder.source)) throw new TypeError("Request: keepalive with a stream as body");
      this.#body = holder;
      if (holder.type !== null && !this.#headers.has("content-type")) this.#headers.append("content-type", holder.type);
    }

    #holder() {
      if (this.#body === null) {
        const has = native.hasBody(this.#slot, this.#epoch, 0);
        this.#body = new BodyHolder(has ? new LiveBody(this.#slot, this.#epoch, 0) : null);
      }
      return this.#body;
    }

    get method() { return this.#method ?? native.text(this.#slot, this.#epoch, 0); }
    get url() { return this.#url ?? native.text(this.#slot, this.#epoch, 1); }
    get headers() {
      if (this.#headers === null) {
        this.#headers = realm.liveHeaders(this.#slot, this.#epoch, 0);
        if (this.#readOnly) realm.freezeHeaders(this.#headers);
      }
      return this.#headers;
    }
    /// What other platforms tell of the connection: Azion's `metadata`, Cloudflare's `cf`.
    get metadata() { return this.#connection((text, items) => {
      const known = {
        remote_addr: text(items.ip), remote_port: text(items.port), server_protocol: text(items.protocol),
        ssl_protocol: text(items.tlsVersion) ?? "", ssl_cipher: text(items.cipher) ?? "", ssl_server_name: text(items.sni) ?? "",
        request_id: text(items.requestId),
      };
      if (!realm.since("request_metadata_names")) return known;
      for (const name of told) known[name] = native.variable(this.#slot, this.#epoch, name) ?? "";
      known.ssl_ja4 = text(items.ja4) ?? "";
      known.ssl_client_s_dn = text(items.subject) ?? "";
      known.ssl_client_i_dn = text(items.issuer) ?? "";
      known.ssl_client_serial = text(items.serial) ?? "";
      known.ssl_client_fingerprint = text(items.fingerprint) ?? "";
      known.ssl_client_verify = text(items.subject) === null ? "NONE" : text(items.verified) === "1" ? "SUCCESS" : "FAILED";
      return known;
    }); }
    get cf() { return this.#connection((text, items) => {
      const of = (name) => native.variable(this.#slot, this.#epoch, name) ?? undefined;
      const asn = of("geoip_asn");
      return {
        httpProtocol: text(items.protocol), tlsVersion: text(items.tlsVersion) ?? undefined, tlsCipher: text(items.cipher) ?? undefined,
        country: of("geoip_country_code"), continent: of("geoip_continent_code"), city: of("geoip_city"), region: of("geoip_region_name"),
        regionCode: of("geoip_region"), asn: asn === undefined ? undefined : Number(asn), botManagement: Object.freeze({ ja4: text(items.ja4) ?? undefined }),
        tlsClientAuth: Object.freeze({
          certPresented: text(items.subject) === null ? "0" : "1",
          certVerified: text(items.subject) === null ? "NONE" : text(items.verified) === "1" ? "SUCCESS" : "FAILED",
          certSubjectDN: text(items.subject) ?? "", certIssuerDN: text(items.issuer) ?? "", certSerial: text(items.serial) ?? "",
          certFingerprintSHA256: text(items.fingerprint) ?? "",
        }),
      };
    }); }
    #connection(make) {
      if (this.#slot < 0) return undefined;
      return Object.freeze(make((item) => native.text(this.#slot, this.#epoch, item), realm.items));
    }
    get redirect() { return this.#redirect; }
    get signal() { return (this.#signal ??= this.#follows === null ? realm.newSignal() : realm.followSignal(this.#follows)); }
    get destination() { this.#slot; return ""; }
    get referrer() { return this.#details.referrer; }
    get referrerPolicy() { return this.#details.referrerPolicy; }
    get mode() { return this.#details.mode; }
    get credentials() { return this.#details.credentials; }
    get cache() { return this.#details.cache; }
    get integrity() { return this.#details.integrity; }
    get keepalive() { return this.#details.keepalive; }
    get isReloadNavigation() { this.#slot; return false; }
    get isHistoryNavigation() { this.#slot; return false; }
    get duplex() { this.#slot; return "half"; }
    clone() {
      const body = this.#holder().split();
      const copy = new Request(live, this.#slot, this.#epoch, false);
      copy.#method = this.#method;
      copy.#url = this.#url;
      copy.#redirect = this.#redirect;
      copy.#follows = this.#signal ?? this.#follows;
      copy.#details = this.#details;
      copy.#headers = realm.overlayHeaders(this.headers, this.#slot, this.#epoch, 0);
      copy.#body = body;
      return copy;
    }

    static {
      realm.requestHolder = (request) => request.#holder();
      realm.isRequest = (value) => typeof value === "object" && value !== null && #slot in value;
      realm.liveRequest = (slot, epoch, readOnly) => new Request(live, slot, epoch, readOnly);
      liveOf = (request) => [request.#slot, request.#epoch];

      /// Hands what this request changes of the exchange (slot, epoch) to the host.
      stage = (request, slot, epoch) => {
        if (request.#method !== null || request.#url !== null) stageLine(request, slot, epoch);
        if (request.#headers !== null) realm.stageHeaders(request.#headers, slot, epoch, 0);
        if (request.#body !== null) stageBody(request, slot, epoch);
      };
      /// The same as the last thing that a call does: what is left to its result, or null.
      answer = (request, call) => {
        const { slot, epoch } = call;
        if (request.#method !== null || request.#url !== null) stageLine(request, slot, epoch);
        if (request.#body !== null) stageBody(request, slot, epoch);
        if (request.#headers === null) return null;
        if (call.tail === 0) return realm.answerHeaders(request.#headers, slot, epoch, 0);
        realm.stageHeaders(request.#headers, slot, epoch, 0);
        return null;
      };
      const stageLine = (request, slot, epoch) => {
        if (request.#method !== null) native.setText(slot, epoch, 0, request.#method);
        if (request.#url !== null) native.setText(slot, epoch, 1, request.#url);
      };
      const stageBody = (request, slot, epoch) => {
        const ours = request.#slot === slot && request.#epoch === epoch;
        const source = request.#body.source;
        realm.handOn(source);
        if ((ours && realm.isUntouched(source, slot, epoch, 0)) || (ours && source === null && !native.hasBody(slot, epoch, 0))) return;
        realm.stageBody(request.#body, slot, epoch, 0);
      };
    }
  }
  realm.brand(Request);
  realm.bodyMixin(Request, (request) => realm.requestHolder(request));

  realm.Request = Request;
  realm.stageRequest = stage;
  realm.answerRequest = answer;
  realm.requestSlot = liveOf;
  realm.methodName = methodName;
  realm.expose({ Request });
}
