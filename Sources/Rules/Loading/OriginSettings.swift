import HTTP

/// Retries and times, for upstreams and for actions.
struct OriginSettings {
    let reporter: Reporter

    func retry(_ object: ParsedObject) -> RetryPolicy {
        var policy = RetryPolicy()
        policy.tries = object["tries"]?.integer ?? policy.tries
        policy.budget = object["budget"]?.integer ?? policy.budget
        policy.perTry = object["per_try"]?.integer ?? 0
        policy.anyMethod = object["methods"]?.text == "any"
        policy.bodyBytes = min(object["body"]?.integer ?? policy.bodyBytes, 16 << 20)
        policy.grpcStatuses = statuses(object["grpc_status"]) ?? policy.grpcStatuses
        guard let on = object["on"] else { return policy }
        policy.conditions = []
        for condition in on.list { add(condition, to: &policy) }
        return policy
    }

    /// The statuses of gRPC that are named; nil: the key is not there.
    private func statuses(_ names: Parsed?) -> GRPCStatusSet? {
        guard let names else { return nil }
        var set = GRPCStatusSet()
        for name in names.list { set.insert(name.text.flatMap { GRPCStatus.number(of: $0) } ?? 0) }
        return set
    }

    private func add(_ condition: Parsed, to policy: inout RetryPolicy) {
        let text = condition.text ?? ""
        let words: [String: RetryPolicy.Conditions] = ["connect": .connect, "reset": .reset, "timeout": .timeout]
        if let known = words[text] { return policy.conditions.formUnion(known) }
        if let status = Units.integer(text) {
            if (400..<600).contains(status) { return policy.add(status: status) }
            reporter.report(.status, "expected a number from 400 to 599, found `\(text)`", at: condition.position)
            return
        }
        reporter.report(
            .choice, "`\(text)` is not one of `connect`, `reset`, `timeout` or a status", at: condition.position, wrong: text,
            known: Array(words.keys))
    }

    func times(_ argument: Parsed) -> AttemptTimes {
        var times = AttemptTimes()
        if let total = argument.integer { times.total = total }
        guard let object = argument.object else { return times }
        times.connect = object["connect"]?.integer ?? 0
        times.firstByte = object["first_byte"]?.integer ?? 0
        times.idle = object["idle"]?.integer ?? 0
        times.total = object["total"]?.integer ?? 0
        return times
    }

    func health(_ object: ParsedObject) -> HealthCheck {
        var check = HealthCheck()
        check.kind = object["type"]?.text.flatMap { HealthCheck.Kind(rawValue: $0) } ?? .http
        check.path = object["path"]?.text ?? "/"
        if let path = object["path"], !check.path.hasPrefix("/") || check.path.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7f }) {
            reporter.report(.text, "a path begins with `/` and is ASCII without spaces", at: path.position)
        }
        check.host = object["host"]?.text
        check.service = object["service"]?.text ?? ""
        check.every = max(object["every"]?.integer ?? check.every, 10)
        check.timeout = max(object["timeout"]?.integer ?? check.timeout, 1)
        check.failAfter = object["fail_after"]?.integer ?? check.failAfter
        check.passAfter = object["pass_after"]?.integer ?? check.passAfter
        let statuses = (object["status"]?.list ?? []).compactMap { range($0) }
        if !statuses.isEmpty { check.statuses = statuses }
        return check
    }

    private func range(_ parsed: Parsed) -> ClosedRange<Int>? {
        let parts = (parsed.text ?? "").split(separator: "-", omittingEmptySubsequences: false).map { Units.integer(String($0)) }
        if parts.count <= 2, let first = parts.first ?? nil, let last = parts.last ?? nil, first <= last, first >= 100, last <= 599 {
            return first...last
        }
        reporter.report(.status, "`\(parsed.text ?? "")` is not a status or a range like `200-299`", at: parsed.position)
        return nil
    }

    func forwarding(_ object: ParsedObject) -> Forwarding {
        var forwarding = Forwarding()
        forwarding.trusted = ranges(object["trust"])
        if let fields = object["fields"]?.text.flatMap({ Forwarding.Fields(rawValue: $0) }) { forwarding.fields = fields }
        forwarding.makesTraceparent = object["traceparent"]?.text == "make"
        return forwarding
    }

    func resolvers(_ object: ParsedObject) -> [String] {
        (object["servers"]?.list ?? []).compactMap { element in
            guard case .tcp(let host, let port)? = element.endpoint else {
                reporter.report(.endpoint, "a DNS server is `address:port`", at: element.position)
                return nil
            }
            return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        }
    }

    func ranges(_ parsed: Parsed?) -> [AddressRange] {
        (parsed?.list ?? []).compactMap { element in
            if let range = AddressRange(element.text ?? "") { return range }
            reporter.report(.network, "`\(element.text ?? "")` is not an IP address or network", at: element.position)
            return nil
        }
    }

    func limits(_ object: ParsedObject) -> UpstreamLimits {
        var limits = UpstreamLimits()
        limits.headerBytes = min(object["header_bytes"]?.integer ?? limits.headerBytes, limits.headerBytes)
        limits.headerField = object["header_field"]?.integer ?? limits.headerField
        limits.headerFields = object["header_fields"]?.integer ?? limits.headerFields
        limits.interims = object["interims"]?.integer ?? limits.interims
        limits.buffer = min(max(object["buffer"]?.integer ?? limits.buffer, 16 << 10), 16 << 20)
        return limits
    }

    func ejection(_ object: ParsedObject) -> Ejection {
        var ejection = Ejection()
        ejection.failures = object["failures"]?.integer ?? ejection.failures
        ejection.time = object["time"]?.integer ?? ejection.time
        ejection.maximumPercent = object["max"]?.integer ?? ejection.maximumPercent
        ejection.grpcStatuses = statuses(object["grpc_status"]) ?? ejection.grpcStatuses
        return ejection
    }
}

extension ConfigurationBuilder {
    /// Everything about the choice of a server, its health and further attempts.
    mutating func readServing(_ object: ParsedObject, into upstream: inout Upstream) {
        let settings = OriginSettings(reporter: reporter)
        if let retry = object["retry"]?.object { upstream.retry = settings.retry(retry) }
        if let health = object["health"]?.object { upstream.health = settings.health(health) }
        if let ejection = object["ejection"]?.object { upstream.ejection = settings.ejection(ejection) }
        upstream.slowStart = object["slow_start"]?.integer ?? 0
        upstream.panicPercent = object["panic"]?.integer ?? 0
        upstream.maximumWaiting = object["max_pending"]?.integer ?? upstream.maximumWaiting
        upstream.maximumRequests = object["max_requests"]?.integer ?? 0
        upstream.proxyProtocol = object["proxy_protocol"]?.text.flatMap { Upstream.ProxyVersion(rawValue: $0) }
        if upstream.proxyProtocol != nil, upstream.wire != .http1 || upstream.servers.contains(where: \.http2) {
            reporter.report(.actionShape, "`proxy_protocol` needs `protocol: http1`", at: object.position, label: "its connections belong to one client each")
        }
        readWarm(object, into: &upstream)
        if let limits = object["limits"]?.object { upstream.limits = settings.limits(limits) }
        guard let balance = object["balance"] else { return }
        if let word = balance.text.flatMap({ Upstream.Balance(rawValue: $0) }) { upstream.balance = word }
        if let object = balance.object { readBalance(object, into: &upstream) }
    }

    private func readWarm(_ object: ParsedObject, into upstream: inout Upstream) {
        guard let warm = object["warm"], let count = warm.integer else { return }
        upstream.warm = count
        if count > min(upstream.keepAlive, upstream.maximumConnections) {
            reporter.report(.actionShape, "`warm` is more than `keepalive` or `max_connections`", at: warm.position)
        }
        if count > 0, upstream.proxyProtocol != nil {
            reporter.report(.actionShape, "`warm` does not go with `proxy_protocol`", at: warm.position, label: "its connections belong to one client each")
        }
    }

    private mutating func readBalance(_ object: ParsedObject, into upstream: inout Upstream) {
        let hashes = object["hash"] != nil
        let sticks = object["sticky"] != nil || object["otherwise"] != nil
        if hashes, sticks {
            reporter.report(.actionShape, "`balance` has `hash` alone, or `sticky` with `otherwise`", at: object.position)
        }
        if let word = object["otherwise"]?.text.flatMap({ Upstream.Balance(rawValue: $0) }) { upstream.balance = word }
        let actions = ActionBuilder(builder: self, phase: .request, captures: [])
        if let hash = object["hash"], let text = hash.text {
            upstream.balance = .hash
            upstream.balanceKey = actions.template(text.contains("${") ? text : "${\(text)}", hash.node)
        } else if let sticky = object["sticky"]?.object, let name = sticky["cookie"]?.text, let node = sticky["cookie"]?.node {
            upstream.balanceKey = actions.template("${cookie.\(name)}", node)
            upstream.sticky = StickyCookie(name: name, attributes: ConfigurationBuilder.attributes(ofSticky: sticky))
        }
    }

    private static func attributes(ofSticky sticky: ParsedObject) -> String {
        var attributes = "; Path="
        attributes += sticky["path"]?.text ?? "/"
        if let age = sticky["max_age"]?.integer { attributes += "; Max-Age=\(age / 1000)" }
        attributes += "; HttpOnly; SameSite=Lax"
        if sticky["secure"]?.boolean != false { attributes += "; Secure" }
        return attributes
    }
}
