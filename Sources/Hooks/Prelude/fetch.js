// fetch() to the origin that the rules chose, and env.NAME.fetch() to an upstream granted by name.
{
  const { Request, LiveBody } = realm;

  function authority(text) {
    const url = realm.parseURL(text);
    return url ? `${url.scheme}//${url.host}:${url.port ?? ""}` : "";
  }

  /// Sends the exchange's request, with what `request` changes of it, to the origin. Once for each exchange.
  realm.sendToOrigin = async (call, request) => {
    if (!realm.isRequest(request)) throw new TypeError("next: the argument is not a Request");
    realm.alive(call.slot, call.epoch);
    if (call.phase !== realm.phases.fetch) {
      throw new TypeError("the origin can be called in a fetch() handler only; in onRequest return the Request");
    }
    if (call.sent) throw new TypeError("the request was sent to the origin already");
    realm.handOn(realm.requestHolder(request).source);
    call.bodySent = realm.isUntouched(realm.requestHolder(request).source, call.slot, call.epoch, 0);
    realm.stageRequest(request, call.slot, call.epoch);
    call.sent = true;
    native.next(call.slot, call.epoch);
    realm.requestHolder(request).spent = true;
    realm.clearHeaderEdits(request.headers);
    return call.wait("origin");
  };

  realm.expose({
    async fetch(input, init) {
      realm.needs(arguments.length, 1, "fetch");
      const call = realm.owner("fetch");
      const request = init === undefined && realm.isRequest(input) ? input : new Request(input, init);
      if (request.url.startsWith("data:")) return realm.dataResponse(request.url);
      if (!call.finished && authority(request.url) === authority(native.text(call.slot, call.epoch, 1))) return realm.sendToOrigin(call, request);
      if (realm.reachesOutside) return outside(call, request, init?.signal ?? (realm.isRequest(input) ? input.signal : undefined));
      throw new TypeError(`fetch: ${new URL(request.url).host} is not granted to this function; ` +
        "name it as an upstream of the function and call env.NAME.fetch(), or in its egress");
    },
  });

  /// "data: URL processor" (Fetch standard, section 6): asks nobody.
  realm.dataResponse = (href) => {
    const end = href.indexOf("#"), text = href.slice(5, end < 0 ? undefined : end), comma = text.indexOf(",");
    if (comma < 0) throw new TypeError("fetch: the data: URL has no comma");
    let type = text.slice(0, comma).trim(), bytes = percentDecoded(text.slice(comma + 1));
    const base64 = /; *base64$/i.exec(type);
    if (base64 !== null) {
      type = type.slice(0, base64.index);
      const plain = native.unbase64(latin1(bytes));
      if (plain === null) throw new TypeError("fetch: the data: URL is not base64");
      bytes = Uint8Array.from(plain, (character) => character.charCodeAt(0));
    }
    if (type.startsWith(";")) type = `text/plain${type}`;
    if (!/^[-!#$%&'*+.^_`|~0-9A-Za-z]+\/[-!#$%&'*+.^_`|~0-9A-Za-z]+ *(;|$)/.test(type)) type = "text/plain;charset=US-ASCII";
    return realm.fetchedResponse(href, 200, realm.headersFromText(`content-type\n${type}\n`), bytes, false);
  };
  /// A serialized URL is ASCII.
  function percentDecoded(text) {
    const bytes = new Uint8Array(text.length);
    let length = 0;
    for (let i = 0; i < text.length; i++) {
      const hex = text[i] === "%" ? /^[0-9A-Fa-f]{2}/.exec(text.slice(i + 1, i + 3)) : null;
      bytes[length++] = hex === null ? text.charCodeAt(i) : parseInt(hex[0], 16);
      if (hex !== null) i += 2;
    }
    return bytes.slice(0, length);
  }
  function latin1(bytes) {
    let text = "";
    for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096));
    return text;
  }

  /// null, text or bytes to be sent at once, or what flows: a ReadableStream or a LiveBody.
  const bodyOf = (request) => realm.requestHolder(request).take("fetch");
  const flows = (body) => body !== null && typeof body === "object" && !(body instanceof Uint8Array);

  /// `answer.body` is set when the head is there.
  function aborted(call, answer, signal) {
    signal.addEventListener("abort", () => {
      if (answer.body !== null) answer.body.abort(signal.reason);
      else if (call.waiting?.has(`answer ${answer.id}`)) realm.dropAnswer(call, answer.id, signal.reason);
    });
  }

  /// One request and its answer, whose body may be on its way still.
  async function ask(call, index, method, target, headers, body, signal, redirected = false) {
    signal?.throwIfAborted();
    const upgrades = headers.get("upgrade")?.toLowerCase() === "websocket";
    if (upgrades && (method !== "GET" || body !== null)) throw new TypeError("fetch: a WebSocket is asked for by a GET without a body");
    const flowing = flows(body) ? realm.askStream(body) : null;
    const id = native.subrequest(call.slot, call.epoch, index, method, target, realm.flatHeaders(headers), flowing?.length ?? body, upgrades);
    if (flowing !== null) realm.askOut(call, id, flowing.stream);
    const waiting = call.wait(`answer ${id}`), answer = { id, body: null };
    if (signal) aborted(call, answer, signal);
    const found = await waiting;
    if (found.upgraded) return realm.upgradedResponse(call, id, target, realm.headersFromText(found.headers));
    if (found.bytes === null) answer.body = new realm.AnswerBody(call, id);
    return realm.fetchedResponse(target, found.status, realm.headersFromText(found.headers), answer.body ?? found.bytes, redirected);
  }

  const redirects = [301, 302, 303, 307, 308];
  const mostRedirects = 20;

  /// A server by its URL. Each step of a redirect is a request of its own to the host, which looks whether it is allowed.
  async function outside(call, request, signal) {
    let { url, method } = request, body = bodyOf(request);
    const headers = new realm.Headers(request.headers);
    for (let step = 0; ; step++) {
      const response = await ask(call, outsideIndex, method, url, headers, body, signal, step > 0);
      const location = redirects.includes(response.status) ? response.headers.get("location") : null;
      if (location === null || request.redirect === "manual") return response;
      if (request.redirect === "error") throw new TypeError(`fetch: ${new URL(url).host} redirects`);
      if (step >= mostRedirects) throw new TypeError(`fetch: more than ${mostRedirects} redirects`);
      const next = new URL(location, url), unread = realm.responseHolder(response).source;
      if (unread instanceof LiveBody) unread.cancel();
      if ((response.status === 303 && method !== "HEAD") || (response.status < 303 && method === "POST")) {
        method = "GET";
        body = null;
        for (const name of ["content-encoding", "content-language", "content-location", "content-type"]) headers.delete(name);
      }
      if (flows(body)) throw new TypeError(`fetch: ${new URL(url).host} redirects, and the body is a stream that was sent already`);
      if (next.origin !== new URL(url).origin) for (const name of ["authorization", "cookie", "proxy-authorization"]) headers.delete(name);
      next.hash = "";
      url = next.href;
    }
  }
  const outsideIndex = -1;   // HookSubrequest.outside

  /// For `new WebSocket`: the number of the WebSocket that an outside host agreed to, and its subprotocol.
  realm.openSocket = async (call, url, protocols) => {
    if (!realm.reachesOutside) throw new TypeError(`${url.host} is not granted to this function; its egress has to name it`);
    const headers = new realm.Headers({ upgrade: "websocket" });
    if (protocols.length > 0) headers.set("sec-websocket-protocol", protocols.join(", "));
    const id = native.subrequest(call.slot, call.epoch, outsideIndex, "GET", url.href, realm.flatHeaders(headers), null, true);
    const found = await call.wait(`answer ${id}`);
    if (!found.upgraded) throw new TypeError(`${url.host} answered ${found.status}, which is no WebSocket`);
    return { id, protocol: realm.headersFromText(found.headers).get("sec-websocket-protocol") ?? "" };
  };

  async function subrequest(index, name, input, init) {
    const call = realm.owner(`env.${name}.fetch`);
    const isRequest = realm.isRequest(input);
    const url = isRequest ? input : new URL(`${input}`, `http://${name.toLowerCase()}/`).href;
    const request = new Request(url, init);
    const signal = init?.signal ?? (isRequest ? input.signal : undefined);
    signal?.throwIfAborted();
    return ask(call, index, request.method, request.url, request.headers, bodyOf(request), signal);
  }

  class Fetcher {
    #index; #name;
    constructor(token, index, name) {
      if (token !== subrequest) throw new TypeError("Illegal constructor");
      this.#index = index;
      this.#name = name;
    }
    async fetch(input, init) {
      realm.needs(arguments.length, 1, "fetch");
      return subrequest(this.#index, this.#name, input, init);
    }
  }
  realm.brand(Fetcher);
  realm.newFetcher = (index, name) => Object.freeze(new Fetcher(subrequest, index, name));
}
