/// Whose fault a failure is. Decides the status, what is logged and whether an upstream is blamed.
public enum FaultSide: UInt8, Sendable {
    case client, origin, gateway
}

/// Where in an exchange something failed; the same words appear in rules, logs and documents.
public enum ExchangePhase: UInt8, Sendable {
    case requestHead, requestRules, requestHook, connect, requestBody, responseHead
    case responseRules, responseHook, responseBody
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
