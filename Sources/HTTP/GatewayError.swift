/// Whose fault a failure is. Decides the status, what is logged and whether an upstream is blamed.
public enum FaultSide: UInt8, Sendable {
    case client, origin, gateway
}

/// Where in an exchange something failed; the same words appear in rules, logs and documents.
public enum ExchangePhase: UInt8, Sendable {
    case requestHead, requestRules, requestHook, connect, requestBody, responseHead
    case responseRules, responseHook, responseBody

    /// The word in logs.
    public var name: String {
        switch self {
        case .requestHead: "request_head"
        case .requestRules: "request_rules"
        case .requestHook: "request_hook"
        case .connect: "connect"
        case .requestBody: "request_body"
        case .responseHead: "response_head"
        case .responseRules: "response_rules"
        case .responseHook: "response_hook"
        case .responseBody: "response_body"
        }
    }
}

/// Everything that can go wrong with an exchange. One table maps it to what each side sees.
public enum ErrorKind: UInt8, Sendable, CaseIterable {
    // The origin's side; `token` is what `error.kind` says in rules.
    case dns, connect, tls, connectTimeout, firstByteTimeout, idleTimeout, reset, originProtocol, noServer
    // Hooks.
    case hookError, hookCPU, hookWall, hookMemory, hookFenced
    // The client's side.
    case badRequest, uriTooLong, headTooLarge, bodyTooLarge, requestTimeout, lengthRequired
    case expectationFailed, notImplemented, versionNotSupported, misdirected, methodNotAllowed
    case clientGone
    // Ours.
    case noSite, overloaded, loop, draining, bug

    /// The word in logs: one per case, where `token` gathers several.
    public var name: String {
        switch self {
        case .dns: "dns"
        case .connect: "connect"
        case .tls: "tls"
        case .connectTimeout: "connect_timeout"
        case .firstByteTimeout: "first_byte_timeout"
        case .idleTimeout: "idle_timeout"
        case .reset: "reset"
        case .originProtocol: "origin_protocol"
        case .noServer: "no_server"
        case .hookError: "hook_error"
        case .hookCPU: "hook_cpu"
        case .hookWall: "hook_wall"
        case .hookMemory: "hook_memory"
        case .hookFenced: "hook_fenced"
        case .badRequest: "bad_request"
        case .uriTooLong: "uri_too_long"
        case .headTooLarge: "head_too_large"
        case .bodyTooLarge: "body_too_large"
        case .requestTimeout: "request_timeout"
        case .lengthRequired: "length_required"
        case .expectationFailed: "expectation_failed"
        case .notImplemented: "not_implemented"
        case .versionNotSupported: "version_not_supported"
        case .misdirected: "misdirected"
        case .methodNotAllowed: "method_not_allowed"
        case .clientGone: "client_gone"
        case .noSite: "no_site"
        case .overloaded: "overloaded"
        case .loop: "loop"
        case .draining: "draining"
        case .bug: "bug"
        }
    }

    /// The status a client sees (RFC 9110 section 15); 0 where the client is gone.
    public var status: Int {
        switch self {
        case .dns, .connect, .tls, .reset, .originProtocol: 502
        case .noServer, .overloaded, .draining, .hookFenced: 503
        case .connectTimeout, .firstByteTimeout, .idleTimeout: 504
        case .hookError, .hookCPU, .hookWall, .hookMemory, .bug: 500
        case .badRequest: 400
        case .uriTooLong: 414
        case .headTooLarge: 431
        case .bodyTooLarge: 413
        case .requestTimeout: 408
        case .lengthRequired: 411
        case .expectationFailed: 417
        case .notImplemented: 501
        case .versionNotSupported: 505
        case .misdirected: 421
        case .methodNotAllowed: 405
        case .noSite: 404
        case .loop: 508
        case .clientGone: 0
        }
    }

    /// The word rules compare `error.kind` with.
    public var token: StaticString {
        switch self {
        case .dns: "dns"
        case .connect, .noServer: "connect"
        case .tls: "tls"
        case .connectTimeout, .firstByteTimeout, .idleTimeout: "timeout"
        case .reset: "reset"
        case .originProtocol: "protocol"
        case .hookError, .hookFenced: "hook_error"
        case .hookCPU, .hookWall: "hook_cpu"
        case .hookMemory: "hook_memory"
        default: "client"
        }
    }

    /// The `error` parameter of `Proxy-Status` (RFC 9209 section 2.3).
    public var proxyStatus: StaticString {
        switch self {
        case .dns: "dns_error"
        case .connect: "connection_refused"
        case .tls: "tls_protocol_error"
        case .connectTimeout: "connection_timeout"
        case .firstByteTimeout: "http_response_timeout"
        case .idleTimeout: "connection_read_timeout"
        case .reset: "connection_terminated"
        case .originProtocol: "http_protocol_error"
        case .noServer: "destination_unavailable"
        case .loop: "proxy_loop_detected"
        case .badRequest, .uriTooLong, .headTooLarge, .bodyTooLarge, .requestTimeout, .lengthRequired,
            .expectationFailed, .notImplemented, .versionNotSupported, .methodNotAllowed:
            "http_request_error"
        case .noSite, .misdirected: "destination_not_found"
        default: "proxy_internal_error"
        }
    }

    public var side: FaultSide {
        switch self {
        case .dns, .connect, .tls, .connectTimeout, .firstByteTimeout, .idleTimeout, .reset, .originProtocol, .noServer:
            .origin
        case .badRequest, .uriTooLong, .headTooLarge, .bodyTooLarge, .requestTimeout, .lengthRequired,
            .expectationFailed, .notImplemented, .versionNotSupported, .misdirected, .methodNotAllowed, .clientGone,
            .noSite:
            .client
        default: .gateway
        }
    }
}

/// One failure of one exchange: what, where, whether trying again is safe, and a note for the log.
public struct GatewayError: Error, Sendable {
    public var kind: ErrorKind
    public var phase: ExchangePhase
    /// True when no byte of the request can have had an effect on the origin.
    public var retrySafe: Bool
    /// Detail for the log; never sent to a client.
    public var note: String

    public init(_ kind: ErrorKind, in phase: ExchangePhase, retrySafe: Bool = false, note: String = "") {
        self.kind = kind
        self.phase = phase
        self.retrySafe = retrySafe
        self.note = note
    }
}
