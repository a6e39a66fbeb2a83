// What hooks of Sluice are given, for editors and tsc. The Web API (Request, Response, streams, crypto, ...) is that of
// TypeScript's own library: compile with --lib es2022,webworker. `sluice types FILE` adds what the functions of a rule
// file are granted; `sluice types --reference` writes docs/HOOK-API.md from this file: each member stands on a line of its
// own, with what it is, its units and its errors in the comment above it.
declare namespace Sluice {
  type MaybePromise<T> = T | Promise<T>;

  /** The default export of a hook module. At least one handler must be there; every handler may be async. What a handler throws ends in the function's `on_error`. */
  interface Handlers<Env = unknown, Args = any> {
    /** Request phase, before the origin is asked. Nothing: go on. A Request: go on with that one. A Response: answer, the origin is not asked; with status 101 and `webSocket` the hook ends the client's WebSocket itself. */
    onRequest?(request: Request, env: Env, ctx: Context<Args>): MaybePromise<void | Request | Response>;
    /** Request phase, as Azion has it: `ctx.deny()` refuses, `ctx.drop()` closes without an answer. What it returns does not count. */
    firewall?(request: Request, env: Env, ctx: Context<Args>): MaybePromise<void>;
    /** The whole exchange, as Cloudflare has it: `fetch(request)` asks the origin that the rules chose. It must return a Response; anything else is a failure. */
    fetch?(request: Request, env: Env, ctx: Context<Args>): MaybePromise<Response>;
    /** Response phase: the head is there, the body may still flow. Nothing: as it is. A Response: send that instead. */
    onResponse?(response: Response, env: Env, ctx: Context<Args>): MaybePromise<void | Response>;
    /** The origin or a hook failed. Nothing: the stock answer. A Response: send that instead. */
    onError?(error: GatewayError, env: Env, ctx: Context<Args>): MaybePromise<void | Response>;
    /** A message of a WebSocket that passes to an origin, text as a string, bytes as a Uint8Array, at most `limits.buffered_body` bytes. Nothing: pass it on. A string or bytes: send that instead. null: drop it. */
    onWebSocketMessage?(data: string | Uint8Array, ctx: Context<Args>, env: Env): MaybePromise<void | null | string | ArrayBufferView | ArrayBuffer>;
    /** By the clock (`schedules:`, UTC). One worker runs each moment; a run that fails is logged and not repeated. */
    scheduled?(controller: ScheduledController, env: Env, ctx: Context<Args>): MaybePromise<void>;
  }

  /** What a call is about and may do. What it tells of the exchange can be read until the handler has returned; later it throws a TypeError. */
  interface Context<Args = any> {
    /** The rule's `args:`, frozen JSON of at most 100 KiB. */
    readonly args: Args;
    /** The request as the origin sees it. In onResponse, onError and onWebSocketMessage its headers cannot be changed any more. */
    readonly request: Request;
    /** 32 hexadecimal digits that the logs, `X-Request-Id` and traces show too. */
    readonly requestId: string;
    /** The W3C trace context of this exchange: the request's own `traceparent`, else one whose trace id is the request id. */
    readonly traceparent: string;
    /** The rule that runs the function: its name, and where it stands. `line` counts from 1. */
    readonly rule: { readonly name: string; readonly file: string; readonly line: number };
    /** Who asks. Behind a trusted proxy the address that the proxy names; `tls` is null without TLS on this side. */
    readonly client: Client;
    /** From the request phase to the response phase of the same request; for WebSocket messages as long as the connection. Structured clone; what cannot be cloned makes the call fail. */
    state: Record<string, unknown>;
    /** Texts shared with the rules (`vars.NAME` there). */
    readonly vars: Variables;
    /** In onWebSocketMessage: who sent the message. Elsewhere undefined. */
    readonly from: "client" | "origin" | undefined;
    /** What is left of the function's `limits`. */
    readonly budget: Budget;
    /** Aborted when the client is gone or the call's time is up. */
    readonly signal: AbortSignal;
    /** In fetch(): the rest of the rules, then the origin, with this request or the one that came. Once for each exchange; a TypeError after that, and when the origin fails. */
    next(request?: Request): Promise<Response>;
    /** Work after the answer, at most 30 s; then it is given up and logged. */
    waitUntil(promise: Promise<unknown>): void;
    /** A failure of this call lets the exchange go on, as `on_error: continue` does. Without effect in a function with `security: true`. */
    passThroughOnException(): void;
    /** Refuse with this status, 200 to 599 (a RangeError otherwise), 403 unless told otherwise; a WebSocket that passes is closed with 1008. */
    deny(status?: number): void;
    /** Close without an answer. */
    drop(): void;
    /** Take a refusal back. */
    continue(): void;
  }

  /** The client end of an exchange. */
  interface Client {
    /** IPv4 or IPv6 address, without port. */
    readonly ip: string;
    /** 0 to 65535; 0 when a proxy named the address alone. */
    readonly port: number;
    /** What the handshake settled; null for plaintext. */
    readonly tls: ClientTLS | null;
  }

  /** The TLS connection of a client. */
  interface ClientTLS {
    /** `TLSv1.2` or `TLSv1.3`. */
    readonly version: string;
    /** The cipher suite by OpenSSL's name. */
    readonly cipher: string;
    /** The server name the client sent, lower case; empty when it sent none. */
    readonly sni: string;
    /** JA4 fingerprint of the ClientHello; null when it is not known. */
    readonly ja4: string | null;
    /** What the client showed of itself; null without a client certificate. */
    readonly certificate: ClientCertificate | null;
  }

  /** A client's certificate. */
  interface ClientCertificate {
    /** Distinguished name, RFC 2253. */
    readonly subject: string;
    /** Distinguished name of who signed it. */
    readonly issuer: string;
    /** Hexadecimal. */
    readonly serial: string;
    /** SHA-256 of the certificate, hexadecimal. */
    readonly fingerprint: string;
    /** A listed authority signed it and it is valid now. */
    readonly verified: boolean;
  }

  /** Texts that rules and hooks of one exchange share. */
  interface Variables {
    /** The value; null when nobody set it. */
    get(name: string): string | null;
    /** Sets it for the rules and hooks that follow. */
    set(name: string, value: string): void;
  }

  /** What is left of a call's limits. */
  interface Budget {
    /** Milliseconds of processor time, as of the beginning of this turn; a stream has the limit once more for each MiB, a WebSocket for each message. */
    readonly cpuMs: number;
    /** Bytes of heap and buffers of the function's isolate, which other calls share. */
    readonly memory: number;
    /** Sub-requests: `fetch` to upstreams and hosts outside. */
    readonly subrequests: number;
  }

  /** Why an exchange failed. */
  interface GatewayError {
    /** `connect`, `timeout`, `hook_cpu` and so on: `error.kind` in rules. */
    readonly kind: string;
    /** For the log; not for clients. */
    readonly message: string;
  }

  /** The first argument of scheduled(). */
  interface ScheduledController {
    /** The expression that was due, as the rule file writes it. */
    readonly cron: string;
    /** Milliseconds since 1970: when it was due. */
    readonly scheduledTime: number;
    /** Always "scheduled". */
    readonly type: "scheduled";
    /** For code from Cloudflare; runs are never repeated. */
    noRetry(): void;
  }

  /** An upstream that the rule file grants: its pool, TLS, retries and health. */
  interface Fetcher {
    /** One request. A path is enough; the host of a URL is sent as `Host` and decides nothing. Both bodies flow: a stream is sent as it is made, the answer's comes as it is read. A TypeError when the upstream cannot be had; counts against `limits.subrequests`. */
    fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
  }

  /** A key-value namespace that the rule file grants. Keys have 1 to 511 bytes, values at most `max_value` (1 MiB unless told otherwise). Promises reject with words when the store is full, busy or away. */
  interface KVNamespace {
    /** The value as text; null when there is none. A list of up to 100 keys gives a Map. */
    get(key: string, type?: "text" | { type?: "text" }): Promise<string | null>;
    /** The value parsed as JSON; a SyntaxError when it is none. */
    get<T = any>(key: string, type: "json" | { type: "json" }): Promise<T | null>;
    /** The value as bytes. */
    get(key: string, type: "arrayBuffer" | { type: "arrayBuffer" }): Promise<ArrayBuffer | null>;
    /** The value as a byte stream. */
    get(key: string, type: "stream" | { type: "stream" }): Promise<ReadableStream | null>;
    /** Value and metadata together; both null when there is none. */
    getWithMetadata<T = string, M = unknown>(key: string, type?: unknown): Promise<{ value: T | null; metadata: M | null }>;
    /** Done when it is on disk (or Redis says so). `expirationTtl` in seconds from now, at least 1; `expiration` in seconds since 1970; `metadata` is JSON of at most 1 KiB. */
    put(key: string, value: string | ArrayBuffer | ArrayBufferView | ReadableStream, options?: { expirationTtl?: number; expiration?: number; metadata?: unknown }): Promise<void>;
    /** Also when there is none. */
    delete(key: string): Promise<void>;
    /** At most `limit` (1 to 1000, default 1000) names with this prefix, in the order of their bytes; `cursor` goes on where the last list ended. */
    list(options?: { prefix?: string; limit?: number; cursor?: string }): Promise<{ keys: { name: string; expiration?: number; metadata?: unknown }[]; list_complete: boolean; cursor?: string }>;
  }

  /** The event of addEventListener("fetch" | "request" | "response" | "error" | "firewall" | "scheduled"). */
  interface ExchangeEvent extends Event {
    /** As in `ctx.request`. */
    readonly request: Request;
    /** In "response", undefined elsewhere. */
    readonly response: Response | undefined;
    /** In "error", undefined elsewhere. */
    readonly error: GatewayError | undefined;
    /** The rule's `args:`, read as `event.args.name` and as `event.args("name")`. */
    readonly args: any;
    /** What the rule file grants. */
    readonly env: any;
    /** The same as a handler's `ctx`. */
    readonly ctx: Context;
    /** The global console. */
    readonly console: Console;
    /** Of "scheduled": which expression. */
    readonly cron: string | undefined;
    /** Of "scheduled": for when, in milliseconds since 1970. */
    readonly scheduledTime: number | undefined;
    /** The answer, or a promise of it. Once; an InvalidStateError after that. Without it a "fetch" goes on to the origin. */
    respondWith(answer: Response | Promise<Response>): void;
    /** As `ctx.waitUntil`; in "firewall" the decision waits for the promise. */
    waitUntil(promise: Promise<unknown>): void;
    /** As `ctx.passThroughOnException`. */
    passThroughOnException(): void;
    /** As `ctx.deny`. */
    deny(status?: number): void;
    /** As `ctx.drop`. */
    drop(): void;
    /** As `ctx.continue`. */
    continue(): void;
    /** Adds a field to the request. A TypeError for a name or value that HTTP does not allow. */
    addRequestHeader(name: string, value: string): void;
    /** Adds a field to the client's answer, whoever makes it. */
    addResponseHeader(name: string, value: string): void;
  }
}

/** Handlers in service-worker style, at the module's top level. */
declare function addEventListener(type: "fetch" | "request" | "response" | "error" | "firewall" | "scheduled", listener: (event: Sluice.ExchangeEvent) => unknown): void;

/** What the gateway knows of the request in hand; undefined on requests that a hook made. */
interface Request {
  /** As Azion has it, every value a string, empty when unknown: remote_addr, remote_port, remote_user, server_protocol, request_id, ssl_protocol, ssl_cipher, ssl_server_name, ssl_ja4, ssl_client_s_dn, ssl_client_i_dn, ssl_client_serial, ssl_client_fingerprint, ssl_client_verify (NONE, SUCCESS, FAILED), and geoip_asn, geoip_city, geoip_city_continent_code, geoip_city_country_code, geoip_city_country_name, geoip_continent_code, geoip_country_code, geoip_country_name, geoip_region, geoip_region_name, which (like remote_user) are what rules set in the variables of those names. */
  readonly metadata: Readonly<Record<string, string>>;
  /** As Cloudflare has it, partly. Places are what rules set in variables (`geoip_country_code` and so on), undefined otherwise. */
  readonly cf: { readonly httpProtocol: string; readonly tlsVersion: string | undefined; readonly tlsCipher: string | undefined; readonly country: string | undefined; readonly continent: string | undefined; readonly city: string | undefined; readonly region: string | undefined; readonly regionCode: string | undefined; readonly asn: number | undefined; readonly botManagement: { readonly ja4: string | undefined }; readonly tlsClientAuth: { readonly certPresented: "0" | "1"; readonly certVerified: "NONE" | "SUCCESS" | "FAILED"; readonly certSubjectDN: string; readonly certIssuerDN: string; readonly certSerial: string; readonly certFingerprintSHA256: string } };
}

/** What responses have beside the Fetch standard. */
interface Response {
  /** The client's end of a WebSocketPair, on a response that was made with it; the WebSocket to an upstream or a host outside that a `fetch` with `Upgrade: websocket` led to, which accept() takes into use; else null. */
  readonly webSocket: WebSocket | null;
}

/** The option by which a hook answers with a WebSocket. */
interface ResponseInit {
  /** The client's end of a WebSocketPair whose other end the hook keeps, or the `webSocket` of another response to join the two; `status` must be 101. A TypeError for an end that was accepted or returned before. */
  webSocket?: WebSocket | null;
}

/** Both ends of a WebSocket: `const [client, server] = Object.values(new WebSocketPair())`. */
declare class WebSocketPair {
  /** The end to return in a Response. */
  0: WebSocket;
  /** The end that the hook keeps, after accept(). */
  1: WebSocket;
}

/** An end of a WebSocket that a hook holds: its client's, or one to an upstream or a host outside. `new WebSocket(url, protocols)` opens one to a host of the function's `egress` (`ws:`, `wss:`); it needs no accept() and lasts as long as the call. A SyntaxError for what is no URL of a WebSocket; whatever else prevents it is an `error` and a `close` with 1006. Events: `open`, `message`, `close`, `error`. A listener that throws or rejects closes it with 1011. Each message has the function's `limits.cpu` and `limits.subrequests` anew; waiting costs nothing. */
interface WebSocket {
  /** Takes the end into use: events arrive from now on, and send() works. A TypeError on an end that was returned in a Response. */
  accept(): void;
  /** Sends text, or bytes. Does nothing after close(). An InvalidStateError before accept(); a QuotaExceededError when more than 4 MiB wait for the other side. */
  send(data: string | ArrayBuffer | ArrayBufferView): void;
  /** Code 1000 to 4999 but 1004, 1005, 1006 and 1015 (an InvalidAccessError), a reason of at most 123 bytes of UTF-8 (a SyntaxError). */
  close(code?: number, reason?: string): void;
  /** Bytes that were sent and still wait in the gateway. */
  readonly bufferedAmount: number;
  /** What a binary message's `data` is: an ArrayBuffer (the default here) or a Blob. */
  binaryType: "arraybuffer" | "blob";
}

/** The handshake in one step, as Deno and Azion have it: keep `socket`, return `response`. `protocol` is the subprotocol that was chosen. A TypeError when the request asks for no WebSocket. */
declare function upgradeWebSocket(request: Request, options?: { protocol?: string }): { socket: WebSocket; response: Response };

/** Timers as promises. */
declare const scheduler: {
  /** Resolves after so many milliseconds, 0 to 2147483647. Rejects with the signal's reason when that is aborted first. */
  wait(milliseconds: number, options?: { signal?: AbortSignal }): Promise<void>;
};

/** What Web Crypto has beside the standard. */
interface SubtleCrypto {
  /** Whether both hold the same bytes, in a time that does not tell where they differ. A TypeError when their lengths differ. */
  timingSafeEqual(a: ArrayBuffer | ArrayBufferView, b: ArrayBuffer | ArrayBufferView): boolean;
}

/** What `caches` has beside the standard; `open(name)`, and `match`, `put` and `delete` of a cache, are as it has them. Answers to GET requests, in the memory of a worker, 16 MiB for a tenant. */
interface CacheStorage {
  /** The cache that needs no name. `put` rejects with a TypeError for another method, status 206 and `Vary: *`, with a RangeError for a body of more than 1 MiB; how long an answer is kept its head says. */
  readonly default: Cache;
}

/** Changes HTML while it flows. Implied end tags are not guessed. */
declare class HTMLRewriter {
  /** Handlers `element`, `text` and `comments` for what a selector finds: tags, ids, classes, attributes, descendants and children. A TypeError for another selector. */
  on(selector: string, handlers: object): this;
  /** Handlers `doctype`, `text`, `comments` and `end` for the whole document. */
  onDocument(handlers: object): this;
  /** A response whose body is changed as it flows. Once for each rewriter at a time. */
  transform(response: Response): Response;
}

/** Hands bytes on as they are; outside JavaScript where both ends are the gateway's. */
declare class IdentityTransformStream extends TransformStream<Uint8Array, Uint8Array> {}
/** The same for a length in bytes that is known: it becomes `Content-Length`. A TypeError when more or fewer bytes flow. */
declare class FixedLengthStream extends TransformStream<Uint8Array, Uint8Array> { constructor(length: number | bigint); }

/** What code written for Azion asks for. */
declare const Azion: {
  /** Texts and secrets that the rule file grants; undefined for others. */
  readonly env: { get(name: string): string | undefined };
  /** The first namespace of the function, or the one granted by that name. */
  readonly KV: new (name?: string) => Sluice.KVNamespace;
  /** Whether a list that the function is granted (`lists:`) has an address or text. A TypeError for a list that is not granted. */
  readonly networkList: { contains(list: string | number, address: string): boolean };
  /** The global function of that name. */
  readonly upgradeWebSocket: typeof upgradeWebSocket;
};

/** What `import wasm from "./FILE.wasm"` gives: the file, compiled when the function is loaded. For functions with `webassembly: true`. */
declare module "*.wasm" { const wasm: WebAssembly.Module; export default wasm; }
