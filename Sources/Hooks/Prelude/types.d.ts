// What hooks of Sluice are given, for editors and tsc. The Web API (Request, Response, streams, crypto, ...) is that of
// TypeScript's own library: compile with --lib es2022,webworker. `sluice types FILE` adds what the functions of a rule
// file are granted.

/** A file of WebAssembly, compiled: for functions with `webassembly: true`. */
declare module "*.wasm" {
  const module: WebAssembly.Module;
  export default module;
}

declare namespace Sluice {
  type MaybePromise<T> = T | Promise<T>;

  /** The default export of a hook module. Every handler may be async. */
  interface Handlers<Env = unknown, Args = any> {
    /** Request phase. Nothing: go on. A Request: go on with that one. A Response: answer, the origin is not asked. */
    onRequest?(request: Request, env: Env, ctx: Context<Args>): MaybePromise<void | Request | Response>;
    /** Request phase, as Azion has it: `ctx.deny()` refuses. */
    firewall?(request: Request, env: Env, ctx: Context<Args>): MaybePromise<void>;
    /** The whole exchange, as Cloudflare has it: `fetch(request)` asks the origin that the rules chose. */
    fetch?(request: Request, env: Env, ctx: Context<Args>): MaybePromise<Response>;
    /** Response phase. Nothing: as it is. A Response: send that instead. */
    onResponse?(response: Response, env: Env, ctx: Context<Args>): MaybePromise<void | Response>;
    /** The origin or a hook failed. Nothing: the stock answer. */
    onError?(error: GatewayError, env: Env, ctx: Context<Args>): MaybePromise<void | Response>;
    /** A message of a WebSocket that passes. Nothing: pass it on. null: drop it. */
    onWebSocketMessage?(data: string | Uint8Array, ctx: Context<Args>, env: Env): MaybePromise<void | null | string | ArrayBufferView | ArrayBuffer>;
    /** By the clock (`schedules:`). */
    scheduled?(controller: ScheduledController, env: Env, ctx: Context<Args>): MaybePromise<void>;
  }

  /** What a call is about and may do. */
  interface Context<Args = any> {
    /** The rule's `args:`, frozen. */
    readonly args: Args;
    /** The request as the origin sees it. */
    readonly request: Request;
    readonly requestId: string;
    readonly rule: { readonly name: string; readonly file: string; readonly line: number };
    readonly client: { readonly ip: string; readonly port: number; readonly tls: null | { readonly version: string; readonly cipher: string; readonly sni: string | null } };
    /** From the request phase to the response phase of the same request; for WebSocket messages as long as the connection. */
    state: Record<string, unknown>;
    /** Shared with rules (`vars.NAME`). */
    readonly vars: { get(name: string): string; set(name: string, value: string): void };
    /** In onWebSocketMessage: who sent the message. */
    readonly from: "client" | "origin" | undefined;
    /** Aborted when the client is gone or time is up. */
    readonly signal: AbortSignal;
    /** In fetch(): the rest of the rules, then the origin. */
    next(request?: Request): Promise<Response>;
    /** Work after the answer, at most 30 s. */
    waitUntil(promise: Promise<unknown>): void;
    /** A failure of this call lets the exchange go on (not in a function with `security: true`). */
    passThroughOnException(): void;
    /** Refuse with this status, 403 unless told otherwise; a WebSocket is closed. */
    deny(status?: number): void;
    /** Close without an answer. */
    drop(): void;
    /** Take a refusal back. */
    continue(): void;
  }

  /** Why an exchange failed. */
  interface GatewayError {
    readonly kind: string;
    readonly message: string;
  }

  interface ScheduledController {
    readonly cron: string;
    /** Milliseconds since 1970. */
    readonly scheduledTime: number;
    readonly type: "scheduled";
    noRetry(): void;
  }

  /** An upstream that the rule file grants: its pool, TLS, retries and health. */
  interface Fetcher {
    fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
  }

  /** A key-value namespace that the rule file grants. */
  interface KVNamespace {
    get(key: string, type?: "text" | { type?: "text" }): Promise<string | null>;
    get<T = any>(key: string, type: "json" | { type: "json" }): Promise<T | null>;
    get(key: string, type: "arrayBuffer" | { type: "arrayBuffer" }): Promise<ArrayBuffer | null>;
    get(key: string, type: "stream" | { type: "stream" }): Promise<ReadableStream | null>;
    getWithMetadata<T = string, M = unknown>(key: string, type?: unknown): Promise<{ value: T | null; metadata: M | null }>;
    put(key: string, value: string | ArrayBuffer | ArrayBufferView | ReadableStream, options?: { expirationTtl?: number; expiration?: number; metadata?: unknown }): Promise<void>;
    delete(key: string): Promise<void>;
    list(options?: { prefix?: string; limit?: number; cursor?: string }): Promise<{ keys: { name: string; expiration?: number; metadata?: unknown }[]; list_complete: boolean; cursor?: string }>;
  }

  /** The event of addEventListener("fetch" | "request" | "response" | "error" | "firewall" | "scheduled"). */
  interface ExchangeEvent extends Event {
    readonly request: Request;
    readonly response: Response | undefined;
    readonly error: GatewayError | undefined;
    readonly args: any;
    readonly env: any;
    readonly ctx: Context;
    readonly console: Console;
    /** Of "scheduled": which expression, and for when (milliseconds since 1970). */
    readonly cron: string | undefined;
    readonly scheduledTime: number | undefined;
    respondWith(answer: Response | Promise<Response>): void;
    waitUntil(promise: Promise<unknown>): void;
    passThroughOnException(): void;
    deny(status?: number): void;
    drop(): void;
    continue(): void;
    addRequestHeader(name: string, value: string): void;
    addResponseHeader(name: string, value: string): void;
  }
}

interface Request {
  /** As Azion has it: remote_addr, remote_port, server_protocol, ssl_protocol and the like. */
  readonly metadata: Readonly<Record<string, string>>;
  /** As Cloudflare has it, partly. */
  readonly cf: { readonly httpProtocol: string; readonly tlsVersion: string | null; readonly tlsCipher: string | null };
}

interface SubtleCrypto {
  timingSafeEqual(a: ArrayBuffer | ArrayBufferView, b: ArrayBuffer | ArrayBufferView): boolean;
}

/** Changes HTML while it flows. */
declare class HTMLRewriter {
  on(selector: string, handlers: object): this;
  onDocument(handlers: object): this;
  transform(response: Response): Response;
}

declare class IdentityTransformStream extends TransformStream<Uint8Array, Uint8Array> {}
declare class FixedLengthStream extends TransformStream<Uint8Array, Uint8Array> { constructor(length: number | bigint); }

declare const Azion: {
  readonly env: { get(name: string): string | undefined };
  /** The first namespace of the function, or the one granted by that name. */
  readonly KV: new (name?: string) => Sluice.KVNamespace;
  /** Lists that the function is granted (`lists:`). */
  readonly networkList: { contains(list: string | number, address: string): boolean };
};
