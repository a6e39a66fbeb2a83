public import HTTP

/// Rules for a set of hosts.
public struct Site: Sendable {
    public var name: String
    public var hosts: [HostPattern]
    /// Index of the default upstream; nil when every request is answered by rules.
    public var upstream: Int?
    /// Index of the upstream to whose servers CONNECT opens tunnels; nil: CONNECT is refused.
    public var connect: Int?
    public var request: [Rule] = []
    public var response: [Rule] = []
    public var error: [Rule] = []
    public var position: SourcePosition
}

/// A host a site answers for, in lower case without port.
public enum HostPattern: Sendable, Hashable {
    case exact(String)
    /// `*.example.com`: holds `example.com`; any number of labels may stand before it.
    case wildcard(String)
    /// `*`: requests that no other site wants.
    case any
}

/// When in an exchange rules run. The same words as in rule files, logs and hooks.
public enum Phase: UInt8, Sendable, CaseIterable {
    case request, response, error
    /// `request`
    public var name: String {
        switch self {
        case .request: "request"
        case .response: "response"
        case .error: "error"
        }
    }
}

/// One rule: a condition and what to do.
public struct Rule: Sendable {
    /// `site/name`, or `site/file:line` for a rule without a name. Stable over reloads.
    public var id: String
    public var name: String
    /// Evaluated and logged, never applied.
    public var shadow = false
    /// nil: always.
    public var condition: Expression?
    public var actions: [Action]
    public var position: SourcePosition
}

/// What a rule does, checked, references resolved.
public struct Action: Sendable {
    public enum Kind: Sendable {
        /// Index of the upstream.
        case route(Int)
        /// Upstreams by weight: the same value of `key` always gets the same one.
        case split(key: FieldUse?, to: [WeightedUpstream])
        case respond(Response)
        case deny(status: UInt16)
        case drop
        case redirect(to: Template, status: UInt16)
        case rewrite(path: Template?, query: Template?)
        case setHeader(name: String, value: Template)
        case addHeader(name: String, value: Template)
        case removeHeader(name: String)
        case setStatus(UInt16)
        case setVariable(name: String, value: Template)
        case log(Template)
        case rateLimit(RateLimitSettings)
        /// Bytes.
        case limitBody(Int)
        case retry(RetryPolicy)
        case timeout(AttemptTimes)
        case compress(CompressSettings)
        case replaceBody([Replacement])
        case mirror(upstream: Int, percent: Int)
        case setCookie(CookieSettings)
        case removeCookie(name: String)
        /// Index of the function; `arguments` is JSON text.
        case run(function: Int, arguments: [UInt8])
        case stop
    }
    public struct WeightedUpstream: Sendable, Equatable {
        public var upstream: Int
        public var weight: Int
    }
    public struct Response: Sendable {
        public var status: UInt16
        public var headers: [(name: String, value: Template)]
        public var body: Template?
        /// The body is JSON: what `${...}` puts in is escaped for a JSON string.
        public var isJSON = false
    }
    public var kind: Kind
    public var position: SourcePosition
}
