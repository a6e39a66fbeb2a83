public import HTTP
public import Upstream

/// A request to be played.
public struct RehearsedRequest: Sendable {
    public var method = "GET"
    public var scheme = Scheme.https
    /// Host, and a port if there is one.
    public var authority = ""
    /// Path and query.
    public var target = "/"
    public var fields: [(name: String, value: String)] = []
    public var body: [UInt8] = []
    public var version = HTTPVersion.http11
    public var client = ClientInfo()
    /// Wall clock, seconds since 1970; nil: as it stands.
    public var time: Int?

    public init() {}
}

/// A connection to a server that the gateway wants while a request is played.
public struct RehearsedAttempt: Sendable {
    public var upstream: String
    /// Number of the server within its upstream.
    public var server: Int
    public var method: String
    /// Without the query.
    public var path: String
    /// A hook asks, not the client's request.
    public var isSubrequest: Bool
}

/// A request that reached a server.
public struct RehearsedCall: Sendable {
    public var upstream: String
    public var server: Int
    public var isSubrequest: Bool
    public var request: StagedRequest
}

/// What one hook call came to; `outcome` as in the access log.
public struct RehearsedHook: Sendable {
    public var function: String
    public var phase: String
    public var outcome: String
}

/// What became of a played request.
public struct RehearsedAnswer: Sendable {
    /// 0 when the client got no answer.
    public var status = 0
    public var fields: [(name: String, value: String)] = []
    public var body: [UInt8] = []
    /// The connection was closed without a whole answer.
    public var isCut = false
    /// Ids of the rules that matched, in order; rules in shadow mode end in ` (shadow)`.
    public var rules: [String] = []
    public var site: String?
    /// The upstream that was chosen, whether it was asked or not.
    public var upstream: String?
    public var calls: [RehearsedCall] = []
    public var hooks: [RehearsedHook] = []
    /// The word in logs and the word of `error.kind`.
    public var error: (name: String, kind: String, note: String)?
    public var log: [String] = []
    /// What namespaces hold afterwards, by namespace and key.
    public var namespaces: [String: [String: [UInt8]]] = [:]
    /// Every rule that was asked and why it matched or not, for people and as a JSON array; empty when not asked for.
    public var trace: (text: String, json: String) = ("", "")
    /// Virtual milliseconds from the request's head to the end of the answer.
    public var milliseconds = 0

    public init() {}
}
