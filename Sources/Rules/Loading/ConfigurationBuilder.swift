import Buffers

/// Puts the documents together: every name resolved, every default filled in.
struct ConfigurationBuilder {
    let reporter: Reporter
    let provider: any FileProvider
    var configuration = Configuration()
    var upstreamIndex: [String: Int] = [:]
    var functionIndex: [String: Int] = [:]
    var namespaceIndex: [String: Int] = [:]
    var secretIndex: [String: Int] = [:]
    var lists: [String: NamedList.Values] = [:]
    var siteIndex: [String: Int] = [:]
    var hostOwners: [HostPattern: Int] = [:]

    init(reporter: Reporter, provider: any FileProvider) {
        self.reporter = reporter
        self.provider = provider
    }

    mutating func build(_ documents: [Document]) -> Configuration {
        let roots = documents.map(\.root)
        // Lists, upstreams and functions first: sites refer to them, whichever file they stand in.
        single("limits", roots) { configuration.limits = Self.limits($0, over: Limits()) }
        for root in roots {
            for entry in root["lists"]?.named ?? [] { addList(entry.key, entry.value) }
            for entry in root["upstreams"]?.named ?? [] { addUpstream(entry.key, entry.value) }
            for entry in root["secrets"]?.named ?? [] { addSecret(entry.key, entry.value) }
        }
        for root in roots {
            for entry in root["kv"]?.named ?? [] { addNamespace(entry.key, entry.value) }
        }
        for root in roots {
            for entry in root["functions"]?.named ?? [] { addFunction(entry.key, entry.value) }
        }
        single("egress", roots) { addEgress($0) }
        single("admin", roots) { object in
            configuration.admin = admin(object)
        }
        single("forwarding", roots) { configuration.forwarding = OriginSettings(reporter: reporter).forwarding($0) }
        single("resolver", roots) { configuration.resolvers = OriginSettings(reporter: reporter).resolvers($0) }
        single("debug", roots) { configuration.debug = file($0["key_file"]).map { Debug(key: $0) } }
        single("drain", roots) { object in
            configuration.drain.reload = object["reload"]?.integer
            if let time = object["upgrade"]?.integer { configuration.drain.upgrade = time }
            if let time = object["stop"]?.integer { configuration.drain.stop = time }
        }
        single("tracing", roots) { configuration.tracing = tracing($0) }
        single("access_log", roots) { configuration.accessLog = AccessLogReader(reporter: reporter).read($0) }
        for root in roots {
            for listener in root["listeners"]?.list ?? [] { addListener(listener) }
        }
        for root in roots {
            for site in root["sites"]?.list ?? [] { addSite(site) }
        }
        checkAddresses()
        Lint.unused(configuration, reporter)
        configuration.files = reporter.files.map(\.name)
        return configuration
    }

    /// A section that only one file may have.
    private func single(_ name: String, _ roots: [ParsedObject], _ use: (ParsedObject) -> Void) {
        var first: SourcePosition?
        for root in roots {
            guard let parsed = root[name], let object = parsed.object else { continue }
            if let first {
                reporter.report(.duplicateName, "`\(name)` is set twice", at: parsed.position, label: "first in \(place(first))")
            } else {
                first = parsed.position
                use(object)
            }
        }
    }

    func place(_ position: SourcePosition) -> String {
        let file = reporter.files.indices.contains(Int(position.file)) ? reporter.files[Int(position.file)].name : "?"
        return "\(file):\(position.line)"
    }

    /// Reports a second use of a name. Returns whether it is the first.
    func isFirst(_ what: String, _ name: String, at position: SourcePosition, before: SourcePosition?) -> Bool {
        guard let before else { return true }
        reporter.report(.duplicateName, "\(what) `\(name)` is defined twice", at: position, label: "first in \(place(before))")
        return false
    }

    /// Index of a name that is referred to, or nil with the mistake reported.
    func resolve(_ name: String, in index: [String: Int], _ what: String, _ code: DiagnosticCode, at position: SourcePosition) -> Int? {
        if let found = index[name] {
            reporter.mention(what, name)
            return found
        }
        let known = index.keys.sorted()
        let all = known.isEmpty ? "none is defined" : "defined: " + known.prefix(20).joined(separator: ", ")
        reporter.report(code, "\(what) `\(name)` is not defined; \(all)", at: position, wrong: name, known: known)
        return nil
    }

    // MARK: Lists

    private mutating func addList(_ key: Parsed, _ value: Parsed) {
        guard let name = key.text else { return }
        let before = configuration.lists.first { $0.name == name }?.position
        guard isFirst("list", name, at: key.position, before: before) else { return }
        let texts = value.list.compactMap(\.text)
        let ranges = texts.map { AddressRange($0) }
        let values: NamedList.Values
        if !ranges.isEmpty, ranges.contains(where: { $0 != nil }) {
            for (element, range) in zip(value.list, ranges) where range == nil {
                reporter.report(
                    .network, "`\(element.text ?? "")` is not an IP address or network", at: element.position,
                    label: "a list holds addresses or strings, not both")
            }
            values = .addresses(ranges.compactMap { $0 })
        } else {
            values = .strings(texts)
        }
        lists[name] = values
        addPart(.list, name, value.node)
        configuration.lists.append(NamedList(name: name, values: values, position: key.position))
    }

    // MARK: Listeners

    private mutating func addListener(_ parsed: Parsed) {
        guard let object = parsed.object, let name = object["name"]?.text, let address = object["address"]?.endpoint else { return }
        let before = configuration.listeners.first { $0.name == name }?.position
        guard isFirst("listener", name, at: object["name"]?.position ?? object.position, before: before) else { return }
        let tls = object["tls"]?.object.map { listenerTLS($0) }
        let limits = object["limits"]?.object.map { Self.limits($0, over: configuration.limits) } ?? configuration.limits
        addPart(.listener, name, parsed.node)
        configuration.listeners.append(Listener(
            name: name, address: address, tls: tls, protocols: protocols(object["protocols"], secure: tls != nil),
            proxyProtocol: OriginSettings(reporter: reporter).ranges(object["proxy_protocol"]),
            servesHalfClosed: object["half_close"]?.text == "serve", limits: limits, position: object.position))
    }

    func file(_ parsed: Parsed?) -> FileReference? {
        parsed.flatMap { value in value.text.map { FileReference(path: $0, position: value.position) } }
    }

    private func protocols(_ parsed: Parsed?, secure: Bool) -> Protocols {
        guard let parsed, !parsed.list.isEmpty else { return secure ? [.http1, .http2] : .http1 }
        var protocols: Protocols = []
        for element in parsed.list { protocols.insert(element.text == "http2" ? .http2 : .http1) }
        return protocols
    }

    private func tracing(_ object: ParsedObject) -> Tracing? {
        guard let name = object["upstream"], let text = name.text,
            let index = resolve(text, in: upstreamIndex, "upstream", .unknownUpstream, at: name.position)
        else { return nil }
        var tracing = Tracing(upstream: index)
        if let path = object["path"] {
            tracing.path = path.text ?? ""
            if !tracing.path.hasPrefix("/") { reporter.report(.text, "a path begins with `/`", at: path.position) }
        }
        if let share = object["sample"]?.integer { tracing.sample = share }
        if let service = object["service"]?.text { tracing.service = service }
        tracing.headers = (object["headers"]?.named ?? []).map { .init(name: $0.key.text ?? "", value: $0.value.text ?? "") }
        return tracing
    }

    private func checkAddresses() {
        var taken: [Endpoint: String] = [:]
        var all = configuration.listeners.map { ("listener `\($0.name)`", $0.address, $0.position) }
        if let admin = configuration.admin { all.append(("`admin`", admin.address, admin.position)) }
        for (name, address, position) in all {
            // Port 0 is "any free port", each time another.
            if case .tcp(_, 0) = address { continue }
            if let other = taken[address] {
                reporter.report(.duplicateAddress, "\(name) has the same address as \(other)", at: position)
            }
            taken[address] = name
        }
    }

    // MARK: Limits

    private static let limitKeys: [(String, any WritableKeyPath<Limits, Int> & Sendable)] = [
        ("request_line", \.requestLine), ("header_bytes", \.headerBytes), ("header_field", \.headerField),
        ("header_fields", \.headerFields), ("trailer_bytes", \.trailerBytes), ("trailer_fields", \.trailerFields),
        ("buffered_body", \.bufferedBody), ("exchange_buffer", \.exchangeBuffer), ("head_timeout", \.headTimeout),
        ("body_rate_bytes", \.bodyRateBytes), ("body_rate_time", \.bodyRateTime), ("tls_handshake", \.tlsHandshake),
        ("memory", \.memory), ("resets", \.resets), ("control_burst", \.controlBurst), ("control_rate", \.controlRate),
        ("continuations", \.continuations), ("empty_data", \.emptyData), ("flood_pause", \.floodPause), ("queued_frames", \.queuedFrames),
        ("header_table", \.headerTable), ("client_hello", \.clientHello), ("stream_window", \.streamWindow),
        ("connection_window", \.connectionWindow), ("handshakes", \.handshakes), ("keep_alive", \.keepAlive), ("requests_per_connection", \.requestsPerConnection), ("write_stall", \.writeStall),
        ("write_rate", \.writeRate),
        ("connections", \.connections), ("connections_per_address", \.connectionsPerAddress), ("streams", \.streams),
    ]

    private static func limits(_ object: ParsedObject, over base: Limits) -> Limits {
        var limits = base
        for (key, path) in limitKeys {
            if let value = object[key]?.integer { limits[keyPath: path] = value }
        }
        if let body = object["body"]?.integer { limits.body = body }
        return limits
    }
}
