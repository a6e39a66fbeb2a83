// WebSocket (WHATWG WebSockets), the pair by which a hook ends one itself (Cloudflare Workers), and upgradeWebSocket (Deno, Azion).
{
  const { EventTarget, DOMException } = realm;
  const states = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 };
  const token = Symbol("token");
  const encoder = new TextEncoder();
  /// Listeners that are still at work on a message; beyond it the next message waits.
  const mostPending = 16;
  let make, pairOf, stage, linkOf;

  const makeAll = realm.lazy(["WebSocket", "WebSocketPair", "upgradeWebSocket"], () => {
    class WebSocket extends EventTarget {
      #state = states.CONNECTING; #accepted = false; #taken = false;
      #peer = null;      // the other end, as long as both are here
      #call = null; #id = 0;   // the call whose client (0) or upstream is at the other end
      #forward = null;   // what arrives goes on to this one
      #waiting = [];     // what arrived before accept()
      #pending = 0; #held = false;
      #url = ""; #protocol = ""; #binaryType = "arraybuffer"; #unread = 0;

      constructor(url, protocols = undefined) {
        super();
        if (url === token) return;
        realm.needs(arguments.length, 1, "new WebSocket");
        const address = addressOf(realm.scalars(url)), names = protocolsOf(protocols);
        this.#url = address.shown;
        this.#accepted = true;
        this.#connect(realm.owner("new WebSocket"), address.asked, names);
      }
      /// To a host outside, by the way of fetch(): its egress, its guard, its limit of sub-requests. As long as the call.
      async #connect(call, url, names) {
        try {
          const { id, protocol } = await realm.openSocket(call, url, names);
          this.#call = call;
          this.#id = id;
          (call.links ??= new Map()).set(id, this);
          if (this.#state === states.CLOSING) {
            toHost(call, id, { code: 1001, reason: "" });
            return this.#ended(1006, "", false, "closed before it was open");
          }
          if (protocol !== "" && !names.includes(protocol)) {
            toHost(call, id, { code: 1002, reason: "" });
            return this.#ended(1006, "", false, `${url.host} chose the subprotocol ${realm.clip(protocol, 40)}, which was not offered`);
          }
          this.#protocol = protocol;
          this.#state = states.OPEN;
          this.#fire(realm.trust(new realm.Event("open")));
        } catch (error) {
          if (realm.callAt(call.slot, call.epoch) === call) realm.current = call;
          this.#ended(1006, "", false, `the WebSocket failed: ${error.message}`);
        }
        return undefined;
      }

      get readyState() { return this.#state; }
      get url() { return this.#url; }
      get extensions() { return ""; }
      get protocol() { return this.#protocol; }
      get bufferedAmount() {
        if (this.#call === null) return this.#peer === null ? 0 : this.#peer.#unread;
        return this.#state === states.CLOSED ? 0 : native.socketBuffered(this.#call.slot, this.#call.epoch, this.#id);
      }
      get binaryType() { return this.#binaryType; }
      set binaryType(value) { if (value === "arraybuffer" || value === "blob") this.#binaryType = value; }

      accept() {
        if (this.#taken) throw new TypeError("WebSocket.accept: this end was returned in a Response");
        if (this.#accepted) return;
        this.#accepted = true;
        if (this.#state === states.CONNECTING) this.#state = states.OPEN;
        if (this.#waiting.length > 0) queueMicrotask(() => this.#deliverWaiting());
      }

      send(data) {
        realm.needs(arguments.length, 1, "WebSocket.send");
        if (!this.#accepted) throw new DOMException("WebSocket.send: accept() was not called yet", "InvalidStateError");
        if (this.#state === states.CONNECTING) throw new DOMException("WebSocket.send: it is not open yet", "InvalidStateError");
        if (this.#state !== states.OPEN) return;
        this.#out({ data: message(data) });
      }

      close(code = undefined, reason = undefined) {
        const number = code === undefined ? 0 : code & 0xffff, text = reason === undefined ? "" : realm.scalars(reason);
        if (code !== undefined && !mayClose(number)) throw new DOMException(`WebSocket.close: ${code} is not a code to close with`, "InvalidAccessError");
        if (encoder.encode(text).length > 123) throw new DOMException("WebSocket.close: the reason is longer than 123 bytes", "SyntaxError");
        if (this.#state === states.CLOSING || this.#state === states.CLOSED) return;
        this.#state = states.CLOSING;
        this.#out({ code: number, reason: text });
      }

      /// What this end sends.
      #out(item) {
        if (this.#call !== null) return toHost(this.#call, this.#id, item);
        const peer = this.#peer;
        if (peer === null) return undefined;
        peer.#unread += sizeOf(item);
        if (peer.#taken || !peer.#accepted) peer.#waiting.push(item);
        else queueMicrotask(() => peer.#take(item));
        // Nobody at the other end says goodbye for it.
        if (item.data === undefined && peer.#accepted) queueMicrotask(() => this.#ended(item.code || 1005, item.reason, true, ""));
        return undefined;
      }

      #deliverWaiting() {
        for (const item of this.#waiting.splice(0)) this.#take(item);
      }

      /// What arrives from the other end, or from the client.
      #take(item) {
        this.#unread -= sizeOf(item);
        if (this.#forward !== null) this.#pass(item);
        else if (item.ended) this.#ended(item.code, item.reason, item.clean, item.error);
        else if (item.opened) this.#fire(realm.trust(new realm.Event("open")));
        else if (item.data === undefined) this.#ended(item.code || 1005, item.reason, true, "");
        else if (this.#state === states.OPEN) this.#message(item.data);
        else this.#next();
      }

      /// To the other of two that were joined. The host reads neither while the other has too much waiting.
      #pass(item) {
        const to = this.#forward;
        if (item.opened) return;
        if (item.ended) {
          this.#state = states.CLOSED;
          if (to.#state === states.OPEN) to.close(mayClose(item.code) ? item.code : item.code === 1005 ? undefined : 1011, item.reason);
          return;
        }
        if (to.#state === states.OPEN) toHost(to.#call, to.#id, item);
        this.#next();
      }

      #message(data) {
        const value = typeof data === "string" ? data : this.#binaryType === "blob" ? new Blob([data]) : data.buffer;
        this.#fire(realm.event("MessageEvent", "message", { data: value }));
        this.#next();
      }

      /// Lets the host bring the next message, unless too many are being worked on.
      #next() {
        if (this.#call === null) return;
        this.#held = this.#pending >= mostPending;
        if (!this.#held) native.socketReady(this.#call.slot, this.#call.epoch, this.#id);
      }

      #ended(code, reason, clean, error) {
        if (this.#state === states.CLOSED) return;
        this.#state = states.CLOSED;
        if (error !== "") this.#fire(realm.event("ErrorEvent", "error", { message: error, error: new Error(error) }));
        this.#fire(realm.event("CloseEvent", "close", { code, reason, wasClean: clean }));
      }

      /// A listener that throws, also later, ends the WebSocket.
      #fire(event) {
        const call = this.#call;
        const failed = (error) => (call === null ? realm.reportException(error) : realm.failSocket(call, error));
        realm.dispatch(this, event, failed, (value) => {
          if (typeof value !== "object" || value === null || typeof value.then !== "function") return;
          this.#pending++;
          const done = () => {
            this.#pending--;
            if (this.#held && this.#state !== states.CLOSED && realm.callAt(call?.slot, call?.epoch) === call) this.#next();
          };
          Promise.resolve(value).then(done, (error) => { done(); failed(error); });
        });
      }

      static {
        make = () => new WebSocket(token);
        pairOf = () => {
          const ends = [make(), make()];
          ends[0].#peer = ends[1];
          ends[1].#peer = ends[0];
          return ends;
        };
        realm.isSocket = (value) => typeof value === "object" && value !== null && #peer in value;
        realm.setProtocol = (socket, name) => { socket.#protocol = name; };
        /// One end becomes the client's: what the other end sends goes to it.
        stage = (client, slot, epoch) => {
          if (client.#accepted || client.#taken || client.#peer === null && client.#call === null) {
            throw new TypeError("Response: this WebSocket cannot be given to a client (accept() the other end of the pair, and return this one once)");
          }
          const call = realm.callAt(slot, epoch), joins = client.#call !== null, server = joins ? make() : client.#peer;
          native.acceptSocket(slot, epoch);
          client.#taken = true;
          client.#peer = server.#peer = null;
          server.#call = call;
          call.socket = server;
          call.tail++;
          if (!joins) {
            for (const item of client.#waiting.splice(0)) toHost(call, 0, item);
            return;
          }
          // The other end is an upstream's: what arrives at one goes to the other.
          server.#forward = client;
          client.#forward = server;
          server.#accepted = client.#accepted = true;
          server.#state = client.#state = states.OPEN;
          client.#deliverWaiting();
        };
        linkOf = (call, id, protocol) => {
          const link = make();
          link.#call = call;
          link.#id = id;
          link.#protocol = protocol;
          (call.links ??= new Map()).set(id, link);
          return link;
        };
        /// What the host tells; kept until the hook accepts.
        realm.toSocket = (socket, item) => {
          if (socket.#accepted) socket.#take(item);
          else socket.#waiting.push(item);
        };
      }
    }
    for (const name of Object.keys(states)) {
      for (const target of [WebSocket, WebSocket.prototype]) Object.defineProperty(target, name, { value: states[name], enumerable: true });
    }
    realm.brand(WebSocket);
    for (const name of ["open", "message", "close", "error"]) realm.handlerAttribute(WebSocket, name);

    class WebSocketPair {
      constructor() { [this[0], this[1]] = pairOf(); }
    }

    /// The handshake in one step: `socket` is the hook's end, `response` is to be returned.
    function upgradeWebSocket(request, options = undefined) {
      realm.needs(arguments.length, 1, "upgradeWebSocket");
      if (!realm.isRequest(request)) throw new TypeError("upgradeWebSocket: the argument is not a Request");
      if ((request.headers.get("upgrade") ?? "").toLowerCase() !== "websocket") {
        throw new TypeError("upgradeWebSocket: the request does not ask for a WebSocket (Upgrade: websocket)");
      }
      const [client, socket] = pairOf();
      const { protocol } = realm.dictionary(options, "upgradeWebSocket: the options");
      const headers = new Headers();
      if (protocol !== undefined) {
        headers.set("sec-websocket-protocol", protocol);
        realm.setProtocol(socket, `${protocol}`);
      }
      socket.accept();
      return { socket, response: new Response(null, { status: 101, headers, webSocket: client }) };
    }
    return { WebSocket, WebSocketPair, upgradeWebSocket };
  });

  /// The URL of a WebSocket as it is shown, and as it is asked for (WHATWG WebSockets, section 3.1).
  function addressOf(text) {
    let url;
    try { url = new URL(text); } catch { throw new DOMException(`new WebSocket: "${realm.clip(text, 80)}" is not an absolute URL`, "SyntaxError"); }
    const secure = url.protocol === "wss:" || url.protocol === "https:";
    if (!secure && url.protocol !== "ws:" && url.protocol !== "http:") throw new DOMException(`new WebSocket: ${url.protocol} is not ws: or wss:`, "SyntaxError");
    if (url.href.includes("#")) throw new DOMException("new WebSocket: the URL has a fragment", "SyntaxError");
    const rest = url.href.slice(url.protocol.length);
    return { shown: `${secure ? "wss:" : "ws:"}${rest}`, asked: new URL(`${secure ? "https:" : "http:"}${rest}`) };
  }
  function protocolsOf(given) {
    const names = given === undefined ? [] : typeof given === "string" ? [given] : realm.sequence(given, "new WebSocket: the second argument").map(String);
    const wrong = names.find((name, index) => !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) || names.indexOf(name) !== index);
    if (wrong !== undefined) throw new DOMException(`new WebSocket: "${realm.clip(wrong, 40)}" is no subprotocol, or there twice`, "SyntaxError");
    return names;
  }

  /// Codes that a peer may say (RFC 6455 section 7.4).
  function mayClose(code) { return code >= 1000 && code <= 4999 && ![1004, 1005, 1006, 1015].includes(code); }

  /// Text, or bytes of the message's own.
  function message(data) {
    if (data instanceof ArrayBuffer) return new Uint8Array(data.slice(0));
    if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
    if (typeof data === "object" && data !== null && realm.isBlob?.(data)) throw new TypeError("WebSocket.send: a Blob is sent as await blob.arrayBuffer()");
    return realm.scalars(data);
  }

  function sizeOf(item) { return item.data === undefined ? 0 : item.data.length; }

  function toHost(call, id, item) {
    if (item.data === undefined) return native.closeSocket(call.slot, call.epoch, id, item.code, item.reason);
    if (!native.sendSocket(call.slot, call.epoch, id, item.data)) {
      throw new DOMException("WebSocket.send: more than 4 MiB wait for the other side; look at bufferedAmount", "QuotaExceededError");
    }
    return undefined;
  }

  realm.checkSocket = (value) => {
    makeAll();
    if (!realm.isSocket(value)) throw new TypeError("Response: webSocket is not a WebSocket");
    return value;
  };
  realm.stageSocket = (client, slot, epoch) => stage(client, slot, epoch);
  realm.newLink = (call, id, protocol) => {
    makeAll();
    return linkOf(call, id, protocol);
  };

  /// An end of the hook's failed: its WebSocket is closed with 1011.
  realm.failSocket = (call, error) => {
    // Before there is an answer the call itself fails.
    if (!call.finished) { call.socket = null; realm.failCall(call, error); return; }
    if (call.socket === null) { realm.reportError(error); return; }
    call.socket = null;
    call.tail = 0;
    realm.closeCall(call);
    native.failSocket(call.slot, call.epoch, error);
  };

  /// Runs what the host tells about the WebSocket of a call.
  function tell(slot, epoch, id, item) {
    const call = realm.callAt(slot, epoch), end = id === 0 ? call?.socket : call?.links?.get(id);
    if (end === null || end === undefined) return null;
    realm.current = call;
    realm.toSocket(end, item);
    return call;
  }
  realm.socketEntries = {
    socketOpened(slot, epoch) { tell(slot, epoch, 0, { opened: true }); },
    socketMessage(slot, epoch, id, data) { tell(slot, epoch, id, { data }); },
    socketClosed(slot, epoch, id, code, reason, clean, error) {
      const call = tell(slot, epoch, id, { ended: true, code, reason, clean, error });
      if (id !== 0) { call?.links?.delete(id); return; }
      if (call === null || call.socket === null) return;
      call.socket = null;
      call.tail--;
      realm.endIfDone(call);
    },
  };
}
