import Buffers
import HTTP
import Patterns

/// Makes test cases from what the schema accepted.
struct TestBuilder {
    let builder: ConfigurationBuilder
    let ruleIDs: Set<String>
    var reporter: Reporter { builder.reporter }

    init(builder: ConfigurationBuilder) {
        self.builder = builder
        var ids: Set<String> = []
        for site in builder.configuration.sites {
            for rule in site.request + site.response + site.error { ids.insert(rule.shadow ? rule.id + " (shadow)" : rule.id) }
        }
        ruleIDs = ids
    }

    func tests(_ roots: [ParsedObject]) -> [TestCase] {
        roots.flatMap { root in (root["tests"]?.list ?? []).compactMap { $0.object.flatMap(test) } }
    }

    private func test(_ object: ParsedObject) -> TestCase? {
        guard let name = object["name"]?.text else { return nil }
        reporter.context = "test \"\(name)\""
        defer { reporter.context = "" }
        var steps: [TestStep] = []
        if let list = object["steps"] {
            if let send = object["send"] {
                reporter.report(.actionShape, "a test has `send` or `steps`, not both", at: send.position)
            }
            steps = list.list.compactMap { $0.object.flatMap(step) }
        } else if let step = step(object) {
            steps = [step]
        }
        guard !steps.isEmpty else { return nil }
        return TestCase(
            name: name, isFresh: object["fresh"]?.boolean ?? false, time: object["time"].flatMap(time), entries: entries(object["kv"]).map(\.entry),
            steps: steps, position: object.position)
    }

    private func step(_ object: ParsedObject) -> TestStep? {
        var step = TestStep(request: TestRequest(), position: object.position)
        if let scheduled = object["scheduled"] {
            step.scheduled = check(function: scheduled)
            if let send = object["send"] { reporter.report(.actionShape, "a step has `send` or `scheduled`, not both", at: send.position) }
            let isScheduled = builder.configuration.functions.contains { $0.name == step.scheduled && !$0.schedules.isEmpty }
            if !isScheduled, builder.functionIndex[step.scheduled ?? ""] != nil {
                reporter.report(.missingKey, "the function `\(step.scheduled ?? "")` has no schedule", at: scheduled.position)
            }
        } else if let send = object["send"] {
            guard let request = send.object.flatMap(request) else { return nil }
            step.request = request
        } else {
            reporter.report(.missingKey, "a test needs `send` or `scheduled`", at: object.position)
            return nil
        }
        step.wait = object["wait"]?.integer ?? 0
        step.count = object["repeat"]?.integer ?? 1
        for entry in object["origins"]?.named ?? [] {
            guard let name = entry.key.text, isUpstream(entry.key) else { continue }
            step.answers += entry.value.list.compactMap { $0.object.map { answer($0, of: name) } }
        }
        step.answers += (object["origin"]?.list ?? []).compactMap { $0.object.map { answer($0, of: nil) } }
        if let expect = object["expect"]?.object { step.expectations = expectations(expect) }
        return step
    }

    private func isUpstream(_ key: Parsed) -> Bool {
        let host = (key.text ?? "").lowercased()
        // A host that some function may ask by URL.
        if builder.upstreamIndex[host] == nil, builder.configuration.functions.contains(where: { $0.egress.contains { $0.matches(host) } }) { return true }
        return builder.resolve(key.text ?? "", in: builder.upstreamIndex, "upstream", .unknownUpstream, at: key.position) != nil
    }

    private func time(_ parsed: Parsed) -> Int? {
        guard let text = parsed.text, let time = Units.integer(text) ?? Timestamp.seconds(text) else {
            reporter.report(.time, "`\(parsed.text ?? "")` is not a moment", at: parsed.position, label: "write `2026-11-25T22:00:00Z`")
            return nil
        }
        return time
    }

    // MARK: Request and answers

    private func request(_ object: ParsedObject) -> TestRequest? {
        guard let url = object["url"], let text = url.text else { return nil }
        var request = TestRequest()
        let secure = text.hasPrefix("https://")
        let rest = text.dropFirst(secure ? 8 : 7)
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        guard secure || text.hasPrefix("http://"), !authority.isEmpty, !text.contains(" ") else {
            reporter.report(.url, "`\(text)` is not a URL", at: url.position, label: "write `https://host/path`")
            return nil
        }
        let target = rest[authority.endIndex...].prefix { $0 != "#" }
        request.scheme = secure ? .https : .http
        request.authority = String(authority)
        request.target = target.hasPrefix("/") ? String(target) : "/" + target
        request.method = object["method"]?.text ?? "GET"
        request.version = ["1.0": .http10, "2": .http2][object["http_version"]?.text ?? ""] ?? .http11
        request.fields = fields(object["headers"])
        request.body = body(object, &request.fields)
        client(object, &request)
        return request
    }

    private func client(_ object: ParsedObject, _ request: inout TestRequest) {
        request.client.port = UInt16(object["client_port"]?.integer ?? 50_000)
        let text = object["client_ip"]?.text ?? "198.51.100.1"
        if let address = IPAddress(text) {
            request.client.address = address
        } else {
            reporter.report(.network, "`\(text)` is not an IP address", at: object["client_ip"]?.position ?? object.position)
        }
        guard request.scheme == .https else { return }
        let tls = object["tls"]?.object
        let host = Names.split(request.authority)?.host ?? ""
        request.client.tls = TLSInfo(
            version: tls?["version"]?.text ?? "TLSv1.3", cipher: tls?["cipher"]?.text ?? "TLS_AES_128_GCM_SHA256",
            serverName: tls?["sni"]?.text ?? (IPAddress(host) == nil ? host.lowercased() : ""),
            clientSubject: tls?["client_subject"]?.text ?? "", clientVerified: tls?["client_verified"]?.boolean ?? false)
    }

    private func answer(_ object: ParsedObject, of upstream: String?) -> TestAnswer {
        var answer = TestAnswer()
        answer.upstream = upstream
        answer.method = object["method"]?.text
        answer.path = object["path"]?.text
        answer.status = object["status"]?.integer ?? 200
        answer.fields = fields(object["headers"])
        answer.body = body(object, &answer.fields)
        answer.delay = object["delay"]?.integer ?? 0
        answer.bodyDelay = object["body_delay"]?.integer ?? 0
        answer.failure = object["fail"]?.text.flatMap { TestAnswer.Failure(rawValue: $0) }
        return answer
    }

    private func fields(_ parsed: Parsed?) -> [(name: String, value: String)] {
        (parsed?.named ?? []).flatMap { entry in entry.value.list.map { (entry.key.text ?? "", $0.text ?? "") } }
    }

    private func body(_ object: ParsedObject, _ fields: inout [(name: String, value: String)]) -> [UInt8] {
        let kinds = ["body", "json", "file"].compactMap { object[$0] }
        if kinds.count > 1 { reporter.report(.actionShape, "one of `body`, `json` and `file`", at: kinds[1].position) }
        if let json = object["json"] {
            if !fields.contains(where: { $0.name.lowercased() == "content-type" }) { fields.append(("Content-Type", "application/json")) }
            return JSONValue.text(json.node)
        }
        if let file = object["file"], let path = file.text {
            return (try? builder.provider.read(path, limit: 16 << 20)) ?? []
        }
        return Array((object["body"]?.text ?? "").utf8)
    }

    // MARK: Checks that refer to something

    func check(rule parsed: Parsed) -> String {
        let id = parsed.text ?? ""
        if !ruleIDs.contains(id) {
            reporter.report(.unknownRule, "no site has a rule `\(id)`", at: parsed.position, wrong: id, known: ruleIDs.sorted())
        }
        return id
    }

    /// Entries of namespaces with their places.
    func entries(_ parsed: Parsed?) -> [(entry: TestEntry, at: Parsed)] {
        (parsed?.named ?? []).flatMap { namespace -> [(entry: TestEntry, at: Parsed)] in
            let name = namespace.key.text ?? ""
            guard builder.resolve(name, in: builder.namespaceIndex, "namespace", .unknownNamespace, at: namespace.key.position) != nil else { return [] }
            return namespace.value.named.map { item in
                let node = item.value.node, text = node.scalar
                let isAbsent = text == "null" || text == "~" || text == ""
                let value = isAbsent ? nil : text ?? String(decoding: JSONValue.text(node), as: UTF8.self)
                return (TestEntry(namespace: name, key: item.key.text ?? "", value: value, isJSON: text == nil), item.value)
            }
        }
    }

    func check(upstream parsed: Parsed) -> String {
        _ = isUpstream(parsed)
        return parsed.text ?? ""
    }

    func check(function parsed: Parsed) -> String {
        _ = builder.resolve(parsed.text ?? "", in: builder.functionIndex, "function", .unknownHook, at: parsed.position)
        return parsed.text ?? ""
    }

    func check(pattern parsed: Parsed) -> String {
        do {
            _ = try Pattern(parsed.text ?? "")
        } catch {
            reporter.report(.pattern, "the regular expression is not valid: \(error)", at: parsed.position)
        }
        return parsed.text ?? ""
    }
}

/// `2026-11-25T22:00:00Z` as seconds since 1970.
enum Timestamp {
    static func seconds(_ text: String) -> Int? {
        let shape = "dddd-dd-ddTdd:dd:ddZ"
        guard text.utf8.count == shape.utf8.count,
            zip(text.utf8, shape.utf8).allSatisfy({ $1 == UInt8(ascii: "d") ? $0 &- 48 < 10 : $0 == $1 })
        else { return nil }
        let parts = text.split { "-T:Z".contains($0) }.compactMap { Int($0) }
        guard parts.count == 6, (1...12).contains(parts[1]), (1...31).contains(parts[2]), parts[3] < 24, parts[4] < 60, parts[5] < 61
        else { return nil }
        return days(parts[0], parts[1], parts[2]) * 86_400 + parts[3] * 3_600 + parts[4] * 60 + parts[5]
    }

    /// Days since 1970-01-01 in the Gregorian calendar, counted in years that begin in March.
    private static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let ofEra = shifted - era * 400
        let ofYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719_468
    }
}
