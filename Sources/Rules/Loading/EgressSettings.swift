import Buffers

/// Hosts outside that hooks may ask by URL.
extension Schema {
    static let egress = SchemaObject(title: "`egress`", keys: [
        SchemaKey("private", .list(.text(maximum: 64)), "Networks that are not public and may be connected to all the same, `10.1.0.0/16`. Default: none."),
        SchemaKey("ca", .file(mustExist: true), "PEM file of trusted authorities. Default: the system's."),
        SchemaKey("timeouts", .object(egressTimeouts), "How long to wait."),
    ])

    static let egressTimeouts = SchemaObject(title: "`timeouts` of `egress`", keys: [
        SchemaKey("connect", .time, "TCP and TLS handshake. Default 2s."),
        SchemaKey("first_byte", .time, "From the sent request to the first byte of the answer. Default 30s."),
        SchemaKey("idle", .time, "Between two reads of an answer. Default 30s."),
    ])
}

extension ConfigurationBuilder {
    mutating func addEgress(_ object: ParsedObject) {
        configuration.egress.allowed = OriginSettings(reporter: reporter).ranges(object["private"])
        configuration.egress.authorities = file(object["ca"])
        let timeouts = object["timeouts"]?.object
        configuration.egress.connect = timeouts?["connect"]?.integer ?? configuration.egress.connect
        configuration.egress.firstByte = timeouts?["first_byte"]?.integer ?? configuration.egress.firstByte
        configuration.egress.idle = timeouts?["idle"]?.integer ?? configuration.egress.idle
    }

    func egress(_ parsed: Parsed?) -> [EgressGrant] {
        (parsed?.list ?? []).compactMap { element in
            guard let grant = EgressGrant(element.text ?? "") else {
                reporter.report(
                    .host, "`\(element.text ?? "")` is no host that can be granted", at: element.position,
                    label: "write `api.example.com`, `*.example.com`, `https://api.example.com:8443` or `http://10.0.0.7:8080`")
                return nil
            }
            return grant
        }
    }
}

extension EgressGrant {
    /// `host`, `*.domain`, with `https://` (the default) or `http://` in front and a port behind.
    init?(_ text: String) {
        isSecure = !text.hasPrefix("http://")
        let rest = text.hasPrefix("https://") ? text.dropFirst(8) : text.hasPrefix("http://") ? text.dropFirst(7) : text[...]
        let isWildcard = rest.hasPrefix("*.")
        guard let parts = Names.split(String(isWildcard ? rest.dropFirst(2) : rest)), !parts.host.contains("*") else { return nil }
        let isAddress = IPAddress(parts.host) != nil
        guard isAddress ? !isWildcard : Names.isHost(parts.host) else { return nil }
        // A whole top-level domain is no grant.
        if isWildcard, !parts.host.contains(".") { return nil }
        host = isWildcard ? .wildcard(parts.host.lowercased()) : .exact(parts.host.lowercased())
        port = parts.port ?? (isSecure ? 443 : 80)
    }
}
