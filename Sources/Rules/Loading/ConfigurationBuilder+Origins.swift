/// Upstreams and functions.
extension ConfigurationBuilder {
    mutating func addUpstream(_ key: Parsed, _ value: Parsed) {
        guard let name = key.text, let object = value.object else { return }
        let before = upstreamIndex[name].map { configuration.upstreams[$0].position }
        guard isFirst("upstream", name, at: key.position, before: before) else { return }
        let servers = (object["servers"]?.list ?? []).compactMap { element -> Server? in
            guard let object = element.object else { return element.server }
            var server = object["url"]?.server
            server?.weight = object["weight"]?.integer ?? 1
            return server
        }
        if let list = object["servers"], list.list.isEmpty, case .sequence(let nodes) = list.node.content, nodes.isEmpty {
            reporter.report(.missingKey, "upstream `\(name)` has no server", at: list.position)
        }
        var upstream = Upstream(name: name, servers: servers, position: key.position)
        if let wire = object["protocol"]?.text.flatMap({ Upstream.Wire(rawValue: $0) }) { upstream.wire = wire }
        upstream.maximumStreams = object["max_streams"]?.integer ?? upstream.maximumStreams
        if let timeouts = object["timeouts"]?.object {
            upstream.timeouts.connect = timeouts["connect"]?.integer ?? upstream.timeouts.connect
            upstream.timeouts.firstByte = timeouts["first_byte"]?.integer ?? upstream.timeouts.firstByte
            upstream.timeouts.idle = timeouts["idle"]?.integer ?? upstream.timeouts.idle
            upstream.timeouts.halfClosed = timeouts["half_closed"]?.integer ?? upstream.timeouts.halfClosed
            upstream.timeouts.total = timeouts["total"]?.integer ?? 0
        }
        if let tls = object["tls"]?.object {
            upstream.tls.verify = tls["verify"]?.boolean ?? true
            upstream.tls.authorities = file(tls["ca"])
            upstream.tls.minimumVersion = tls["min_version"]?.text.flatMap { TLSVersion(rawValue: $0) } ?? .tls12
            if let certificate = file(tls["cert"]), let key = file(tls["key"]) {
                upstream.tls.certificate = CertificateFiles(certificate: certificate, key: key)
            } else if let half = tls["cert"] ?? tls["key"] {
                reporter.report(.missingKey, "a client certificate needs `cert` and `key`", at: half.position)
            }
            upstream.tls.serverName = tls["sni"]?.text
        }
        upstream.maximumConnections = object["max_connections"]?.integer ?? upstream.maximumConnections
        upstream.keepAlive = object["keepalive"]?.integer ?? upstream.keepAlive
        readServing(object, into: &upstream)
        upstreamIndex[name] = configuration.upstreams.count
        configuration.upstreams.append(upstream)
        addPart(.upstream, name, value.node)
    }

    mutating func addFunction(_ key: Parsed, _ value: Parsed) {
        guard let name = key.text, let object = value.object else { return }
        let before = functionIndex[name].map { configuration.functions[$0].position }
        guard isFirst("function", name, at: key.position, before: before) else { return }
        functionIndex[name] = configuration.functions.count
        let module = file(object["file"]) ?? FileReference(path: "", position: key.position)
        var function = Function(name: name, module: module, moduleFiles: [], position: key.position)
        function.webAssembly = object["webassembly"]?.boolean ?? false
        if !module.path.isEmpty { function.moduleFiles = moduleFiles(module, webAssembly: function.webAssembly) }
        if let limits = object["limits"]?.object {
            function.limits.cpu = limits["cpu"]?.integer ?? function.limits.cpu
            function.limits.wall = limits["wall"]?.integer ?? function.limits.wall
            function.limits.memory = limits["memory"]?.integer ?? function.limits.memory
            function.limits.subrequests = limits["subrequests"]?.integer ?? function.limits.subrequests
            function.limits.crypto = limits["crypto"]?.integer ?? function.limits.crypto
            function.limits.logBytes = limits["log_bytes"]?.integer ?? function.limits.logBytes
        }
        if let timeout = object["timeout"]?.integer { function.limits.wall = timeout }
        function.isolation = object["isolation"]?.text.flatMap(Function.Isolation.init) ?? .worker
        function.security = object["security"]?.boolean ?? false
        if function.security { function.onError = .deny(status: 503) }
        if let policy = object["on_error"] { function.onError = onError(policy) ?? function.onError }
        if function.security, function.onError == .continue, let policy = object["on_error"] {
            reporter.report(
                .choice, "`on_error: continue` lets a request pass when the check of a `security` function has failed: use deny, respond or fallback",
                at: policy.position)
        }
        for grant in object["upstreams"]?.list ?? [] {
            if let text = grant.text, let index = resolve(text, in: upstreamIndex, "upstream", .unknownUpstream, at: grant.position) {
                function.upstreams.append(index)
            }
        }
        grant(&function, object)
        schedules(&function, object)
        compat(&function, object)
        place(&function, object)
        configuration.functions.append(function)
        addPart(.function, name, value.node)
    }

    private func place(_ function: inout Function, _ object: ParsedObject) {
        function.untrusted = object["untrusted"]?.boolean ?? false
        function.tenant = object["tenant"]?.text ?? ""
        function.lane = object["lane"]?.text.flatMap(Function.Lane.init) ?? .auto
        if function.untrusted, function.lane == .inline, let lane = object["lane"] {
            reporter.report(.choice, "an untrusted function cannot run in the worker: leave `lane: inline` out", at: lane.position)
        }
        if function.webAssembly, function.lane == .inline, let lane = object["lane"] {
            reporter.report(.choice, "a function with WebAssembly cannot run in the worker: leave `lane: inline` out", at: lane.position)
        }
    }

    private static let policies: [String: Function.OnError] = [
        "deny": .deny(status: 503), "continue": .continue, "respond": .respond(status: 500),
    ]

    private func onError(_ parsed: Parsed) -> Function.OnError? {
        if let word = parsed.text { return Self.policies[word] }
        let fields = parsed.object?.fields ?? [:]
        if fields.count == 1, let chosen = fields["fallback"], let upstream = chosen.text {
            return resolve(upstream, in: upstreamIndex, "upstream", .unknownUpstream, at: chosen.position).map { .fallback(upstream: $0) }
        }
        guard fields.count == 1, let (name, value) = fields.first, let status = value.integer else {
            reporter.report(.actionShape, "`on_error` is one of deny, continue, respond, fallback", at: parsed.position)
            return nil
        }
        return name == "deny" ? .deny(status: UInt16(status)) : .respond(status: UInt16(status))
    }

    /// The module and what it imports by relative path, so that they are in the bundle workers load from.
    private func moduleFiles(_ module: FileReference, webAssembly: Bool) -> [String] {
        var found: [String] = []
        var waiting = [module.path]
        while let path = waiting.popLast() {
            guard !found.contains(path), found.count < 256 else { continue }
            do {
                let bytes = try provider.read(path, limit: YAMLProfile.maximumBytes)
                found.append(path)
                if path.hasSuffix(".wasm") {
                    if !webAssembly { reporter.report(.choice, "`\(path)` is WebAssembly: the function needs `webassembly: true`", at: module.position) }
                    continue
                }
                guard let text = String(validating: bytes, as: UTF8.self) else {
                    reporter.report(.notUTF8, "the module `\(path)` is not valid UTF-8", at: module.position)
                    continue
                }
                let directory = Paths.split(path).directory
                waiting += ModuleImports.relative(text).map { Paths.join(directory, $0) }.filter { provider.exists($0) }
            } catch {
                guard path == module.path, case .unreadable(let why) = error else { continue }
                reporter.report(.fileUnreadable, "the module `\(path)` cannot be read: \(why)", at: module.position)
            }
        }
        return found
    }
}

/// A rough reader of `import` and `export ... from`: enough to know which files belong together. What it
/// takes for an import in a comment does no harm; what the module system misses it reports itself.
enum ModuleImports {
    static func relative(_ source: String) -> [String] {
        var found: [String] = []
        let text = Array(source.utf8)
        for quote in [UInt8(ascii: "\""), UInt8(ascii: "'")] {
            var index = 0
            while let start = text[index...].firstIndex(of: quote) {
                let end = text[(start + 1)...].firstIndex { $0 == quote || $0 == 10 } ?? text.count
                index = min(end + 1, text.count)
                guard end < text.count, text[end] == quote else { continue }
                let name = String(decoding: text[start + 1..<end], as: UTF8.self)
                if name.hasPrefix("./") || name.hasPrefix("../"), follows(text[..<start]) { found.append(name) }
                index = end < text.count && text[end] == quote && !name.hasPrefix(".") ? start + 1 : index
            }
        }
        return found
    }

    /// Whether `import`, `from` or `import(` stands just before.
    private static func follows(_ before: ArraySlice<UInt8>) -> Bool {
        var rest = before
        while let last = rest.last, last <= 0x20 || last == UInt8(ascii: "(") { rest.removeLast() }
        return rest.suffix(4).elementsEqual("from".utf8) || rest.suffix(6).elementsEqual("import".utf8)
    }
}
