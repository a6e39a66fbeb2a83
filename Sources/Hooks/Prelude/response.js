// Response (Fetch standard, section 5.5), and the response of a live exchange.
{
  const { Headers, LiveBody, BodyHolder } = realm;
  const live = Symbol("live");
  const noBody = new Set([101, 204, 205, 304]);
  const redirects = new Set([301, 302, 303, 307, 308]);
  let stage, answer;

  /// `switches`: 101 comes with a WebSocket.
  function statusCode(value, switches) {
    const status = Math.trunc(Number(value)) & 0xffff;
    if (status === 101 && switches) return status;
    if (status < 200 || status > 599) throw new RangeError(`Response: the status ${value} is outside 200 to 599`);
    return status;
  }

  class Response {
    #slot = -1; #epoch = 0;
    #status = 200; #statusText = ""; #headers = null; #body = null;
    #type = "default"; #url = ""; #redirected = false; #socket = null;

    constructor(body, init, epoch) {
      if (body === live) {
        this.#slot = init;
        this.#epoch = epoch;
        this.#status = -1;
      } else {
        this.#make(body, init);
      }
    }

    /// Apart from the constructor, which every call runs: what is small is compiled into what uses it.
    #make(body, init) {
      const given = init ?? {};
      if (typeof given !== "object" && typeof given !== "function") throw new TypeError("Response: the second argument is not an object");
      if (given.webSocket !== undefined && given.webSocket !== null) this.#socket = realm.checkSocket(given.webSocket);
      if (given.status !== undefined) this.#status = statusCode(given.status, this.#socket !== null);
      if (this.#socket !== null && this.#status !== 101) throw new TypeError("Response: a response with a WebSocket has the status 101");
      if (given.statusText !== undefined) this.#statusText = reason(given.statusText);
      const current = realm.current;
      const headers = given.headers;
      if (headers === undefined) this.#headers = new Headers();
      else this.#headers = current ? realm.overlayHeaders(headers, current.slot, current.epoch, 1) : new Headers(headers);
      this.#body = realm.extractBody(body);
      if (this.#body.source === null) return;
      if (noBody.has(this.#status)) throw new TypeError(`Response: a response with status ${this.#status} has no body`);
      if (this.#body.type !== null && !this.#headers.has("content-type")) this.#headers.append("content-type", this.#body.type);
    }

    static json(data, init) {
      const text = JSON.stringify(data);
      if (text === undefined) throw new TypeError("Response.json: the value has no JSON form");
      const headers = new Headers(init?.headers);
      if (!headers.has("content-type")) headers.set("content-type", "application/json");
      return new Response(text, { status: init?.status, statusText: init?.statusText, headers });
    }
    static redirect(url, status = 302) {
      if (!redirects.has(Number(status))) throw new RangeError(`Response.redirect: ${status} is not a redirect status`);
      const parsed = realm.parseURL(realm.scalars(url));
      if (!parsed) throw new TypeError(`Invalid URL: "${realm.clip(`${url}`, 200)}"`);
      const response = new Response(null, { status: Number(status), headers: { location: realm.serializeURL(parsed) } });
      realm.freezeHeaders(response.#headers);
      return response;
    }
    static error() {
      const response = new Response();
      response.#type = "error";
      response.#status = 0;
      realm.freezeHeaders(response.#headers);
      return response;
    }

    #holder() {
      if (this.#body === null) {
        const has = native.hasBody(this.#slot, this.#epoch, 1);
        this.#body = new BodyHolder(has ? new LiveBody(this.#slot, this.#epoch, 1) : null);
      }
      return this.#body;
    }

    get type() { return this.#type; }
    get url() { return this.#slot >= 0 ? native.text(this.#slot, this.#epoch, 1) : this.#url; }
    get redirected() { return this.#redirected; }
    get status() { return this.#status >= 0 ? this.#status : native.status(this.#slot, this.#epoch); }
    get ok() { const status = this.status; return status >= 200 && status <= 299; }
    get statusText() { return this.#status >= 0 ? this.#statusText : native.text(this.#slot, this.#epoch, 2); }
    get headers() { return (this.#headers ??= realm.liveHeaders(this.#slot, this.#epoch, 1)); }
    get webSocket() { return this.#socket; }
    clone() {
      if (this.#socket !== null) throw new TypeError("Response.clone: a response with a WebSocket cannot be cloned");
      const body = this.#holder().split();
      const copy = new Response(live, this.#slot, this.#epoch);
      copy.#status = this.#status;
      copy.#statusText = this.#statusText;
      copy.#headers = realm.overlayHeaders(this.headers, this.#slot, this.#epoch, 1);
      copy.#body = body;
      copy.#type = this.#type;
      copy.#url = this.#url;
      return copy;
    }

    static {
      realm.responseHolder = (response) => response.#holder();
      realm.isResponse = (value) => typeof value === "object" && value !== null && #slot in value;
      realm.liveResponse = (slot, epoch) => new Response(live, slot, epoch);
      /// The answer to a sub-request.
      realm.fetchedResponse = (url, status, headers, bytes, redirected) => {
        const response = new Response(null, { status: 200 });
        response.#status = status;
        response.#headers = headers;
        response.#url = url;
        response.#type = "basic";
        response.#redirected = redirected;
        if (!noBody.has(status)) response.#body = new BodyHolder(bytes);
        return response;
      };

      /// The answer to a sub-request that asked for a WebSocket.
      realm.upgradedResponse = (call, id, url, headers) => {
        const response = realm.fetchedResponse(url, 101, headers, null, false);
        response.#socket = realm.newLink(call, id, headers.get("sec-websocket-protocol") ?? "");
        return response;
      };

      /// Hands this response to the host as the answer of (slot, epoch).
      stage = (response, slot, epoch) => {
        if (response.#status >= 0) stageStatus(response, slot, epoch);
        if (response.#headers !== null) realm.stageHeaders(response.#headers, slot, epoch, 1);
        if (response.#socket !== null) realm.stageSocket(response.#socket, slot, epoch);
        else if (response.#body !== null) stageBody(response, slot, epoch);
      };
      /// The same for the response of the exchange as the last thing that a call does: what is left to its result, or null.
      answer = (response, call) => {
        const { slot, epoch } = call;
        if (response.#body !== null) stageBody(response, slot, epoch);
        if (response.#headers === null) return null;
        if (call.tail === 0) return realm.answerHeaders(response.#headers, slot, epoch, 1);
        realm.stageHeaders(response.#headers, slot, epoch, 1);
        return null;
      };
      const stageStatus = (response, slot, epoch) => {
        if (response.#type === "error") throw new TypeError("Response.error() cannot be sent to a client");
        if (response.#socket === null) native.setStatus(slot, epoch, response.#status, response.#statusText);
      };
      const stageBody = (response, slot, epoch) => {
        const ours = response.#slot === slot && response.#epoch === epoch;
        const source = response.#body.source;
        realm.handOn(source);
        if (realm.isUntouched(source, slot, epoch, 1) || (ours && source === null)) return;
        realm.stageBody(response.#body, slot, epoch, 1);
      };
    }
  }
  function reason(value) {
    const text = `${value}`;
    if (/[^\t\x20-\x7e\x80-\xff]/.test(text)) throw new TypeError("Response: statusText holds a character that a reason phrase cannot");
    return text;
  }
  realm.brand(Response);
  realm.layOut(Response);   // its static members were changed
  realm.bodyMixin(Response, (response) => realm.responseHolder(response));

  /// Hands a body to the host: text and bytes at once, a stream chunk by chunk after the result.
  realm.stageBody = (holder, slot, epoch, side) => {
    const source = holder.take("the returned body");
    if (source === null) return native.setBody(slot, epoch, side, null);
    if (typeof source === "string" || source instanceof Uint8Array) return native.setBody(slot, epoch, side, source);
    return realm.streamOut(source, slot, epoch, side);
  };

  realm.Response = Response;
  realm.stageResponse = stage;
  realm.answerResponse = answer;
  realm.expose({ Response });
}
