/// How often a key may pass (`rate_limit`).
public struct RateLimitSettings: Sendable {
    /// Their values together are the key. Empty: all requests count together.
    public var key: [FieldUse]
    public var count: Int
    /// Milliseconds, 1 s to 1 day.
    public var period: Int
    /// 0: a sliding window. Else the tokens a bucket holds.
    public var burst: Int
    public var status: UInt16
    /// A refusal carries `Retry-After`.
    public var sendsRetryAfter: Bool
    /// Answers carry `RateLimit` and `RateLimit-Policy`.
    public var sendsFields: Bool
}

/// A cookie that a rule sets. In request rules only name and value are used.
public struct CookieSettings: Sendable {
    public var name: String
    public var value: Template
    /// `; Path=/; Secure` and the like, ready to be appended.
    public var attributes: String
}

/// Something of a configuration with a stable name, and a digest of what its author wrote: two configurations are
/// compared by these.
public struct ConfigurationPart: Sendable, Hashable {
    public enum Kind: String, Sendable, CaseIterable { case listener, list, upstream, function, namespace, secret, site, rule }
    public var kind: Kind
    /// A rule's stable id, else the name.
    public var name: String
    public var digest: UInt64
    /// Where rules of one site and phase stand: their order matters.
    public var group: String
}
