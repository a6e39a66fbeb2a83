/// Actions that bound or copy traffic, and cookies.
extension Schema {
    static let traffic: [ActionSchema] = [
        ActionSchema(
            name: "rate_limit", argument: .object(rateLimit), phases: [.request],
            doc: "Refuse a request when its key passes too often; all workers count together."),
        ActionSchema(name: "limit_body", argument: .size, phases: [.request], doc: "Largest request body; 413 beyond."),
        ActionSchema(
            name: "set_cookie", argument: .oneOrMany(.object(cookie)), phases: [.request, .response, .error],
            doc: "Set a cookie: for the origin in request rules, else for the client."),
        ActionSchema(
            name: "remove_cookie", argument: .oneOrMany(.text(maximum: 256)), phases: [.request, .response, .error],
            doc: "Remove a cookie: from what the origin gets in request rules, else from what the answer sets."),
    ]

    static let rateLimit = SchemaObject(title: "`rate_limit`", keys: [
        SchemaKey("rate", .rate, required: true, "How many per period: `100/s`, `5/min`, `1000/h`, `20/10s`."),
        SchemaKey("key", .oneOrMany(.text(maximum: 256)), "Fields whose values together are counted. Default `client.ip`; `[]` counts all requests together. IPv6 addresses count by their /64."),
        SchemaKey("burst", .integer(1...1_000_000), "Makes it a token bucket that holds so many. Default: a sliding window, at most `rate` in any period."),
        SchemaKey("store", .name, "A namespace of `kv` in Redis: all gateways that share it count together. Default: the workers of this gateway do."),
        SchemaKey("unreachable", .choice(RateLimitSettings.Otherwise.allCases.map(\.rawValue)), "With `store`, what holds while Redis is gone: allow (default), deny, or local (what this gateway counts)."),
        SchemaKey("status", .status(400...599), "Status of a refusal. Default 429."),
        SchemaKey("retry_after", .boolean, "Whether a refusal carries `Retry-After`. Default true."),
        SchemaKey("headers", .boolean, "Whether answers carry `RateLimit` and `RateLimit-Policy`. Default true."),
    ])

    static let cookie = SchemaObject(title: "`set_cookie`", keys: [
        SchemaKey("name", .text(maximum: 256), required: true, "Name of the cookie."),
        SchemaKey("value", .template, required: true, "Its value; what a cookie cannot hold is percent-encoded."),
        SchemaKey("path", .text(maximum: 1024), "`Path`. Default `/`."),
        SchemaKey("domain", .host, "`Domain`. Default: only the host that set it."),
        SchemaKey("max_age", .time, "`Max-Age`, in whole seconds; `0s` deletes it. Default: until the browser closes."),
        SchemaKey("secure", .boolean, "`Secure`. Default true."),
        SchemaKey("http_only", .boolean, "`HttpOnly`. Default false."),
        SchemaKey("same_site", .choice(["strict", "lax", "none"]), "`SameSite`. Default lax."),
    ])
}

extension Units {
    private static let periods: [String: Int] = [
        "s": 1_000, "sec": 1_000, "second": 1_000, "m": 60_000, "min": 60_000, "minute": 60_000,
        "h": 3_600_000, "hour": 3_600_000, "d": 86_400_000, "day": 86_400_000,
    ]

    /// `5/min` as count and milliseconds; nil when it is not a rate of at least 1 and a period of 1 s to 1 day.
    static func rate(_ text: String) -> (count: Int, period: Int)? {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map { String($0) }
        guard parts.count == 2, let count = integer(parts[0]), (1...500_000).contains(count),
            let period = periods[parts[1]] ?? milliseconds(parts[1]), (1_000...86_400_000).contains(period)
        else { return nil }
        return (count, period)
    }
}
