/// Namespaces, secrets, and which function is granted what.
extension ConfigurationBuilder {
    mutating func addNamespace(_ key: Parsed, _ value: Parsed) {
        guard let name = key.text, let object = value.object else { return }
        let before = namespaceIndex[name].map { configuration.namespaces[$0].position }
        guard isFirst("namespace", name, at: key.position, before: before) else { return }
        var namespace = KeyValueNamespace(name: name, place: .disk(path: object["path"]?.text), position: key.position)
        if name.hasPrefix("."), object["path"] == nil { reporter.report(.name, "`\(name)` cannot be the name of a folder", at: key.position, label: "give it a `path:`") }
        namespace.size = bounded(object["size"], (128 << 10)...(1 << 44)) ?? namespace.size
        namespace.largestValue = bounded(object["max_value"], 1...(25 << 20)) ?? namespace.largestValue
        if let url = object["redis"], let place = redis(url, name, object) { namespace.place = .redis(place) }
        let twin = configuration.namespaces.first { $0.place == namespace.place && object["path"] != nil }
        if let twin { reporter.report(.duplicateName, "namespace `\(name)` has the same path as `\(twin.name)`", at: key.position) }
        namespaceIndex[name] = configuration.namespaces.count
        configuration.namespaces.append(namespace)
        addPart(.namespace, name, value.node)
    }

    private func bounded(_ parsed: Parsed?, _ range: ClosedRange<Int>) -> Int? {
        guard let parsed, let value = parsed.integer else { return nil }
        guard range.contains(value) else {
            reporter.report(
                .size, "expected a size from \(Units.describe(bytes: range.lowerBound)) to \(Units.describe(bytes: range.upperBound))", at: parsed.position)
            return nil
        }
        return value
    }

    private mutating func redis(_ url: Parsed, _ name: String, _ object: ParsedObject) -> RedisPlace? {
        for key in ["path", "size"] {
            if let other = object[key] { reporter.report(.actionShape, "a namespace in Redis has no `\(key)`", at: other.position) }
        }
        guard var place = RedisPlace(url: url.text ?? "") else {
            reporter.report(
                .url, "expected a Redis without user and password, found something else", at: url.position,
                label: "write `redis://host:port`, `rediss://host:port/database` or `unix:/path`; the password is a secret named by `password:`")
            return nil
        }
        place.prefix = object["prefix"]?.text ?? "sluice:\(name):"
        place.timeout = max(object["timeout"]?.integer ?? place.timeout, 1)
        place.user = object["user"]?.text ?? ""
        place.authorities = file(object["ca"])
        if let password = object["password"], let secret = password.text { place.password = secretNamed(secret, at: password) }
        return place
    }

    /// One that `secrets:` defines, or one that is found by its name.
    private mutating func secretNamed(_ name: String, at parsed: Parsed) -> Int? {
        if secretIndex[name] == nil { add(Secret(name: name, source: .byName, testValue: "test-\(name)", position: parsed.position)) }
        return secretIndex[name]
    }

    mutating func addSecret(_ key: Parsed, _ value: Parsed) {
        guard let name = key.text, let object = value.object else { return }
        let before = secretIndex[name].map { configuration.secrets[$0].position }
        guard isFirst("secret", name, at: key.position, before: before) else { return }
        let sources: [Secret.Source?] = [
            file(object["file"]).map { .file($0) }, object["env"]?.text.map { .environment($0) }, object["credential"]?.text.map { .credential($0) },
        ]
        guard let source = sources.compactMap({ $0 }).first, sources.compactMap({ $0 }).count == 1 else {
            reporter.report(.missingKey, "secret `\(name)` needs one of `file`, `env` and `credential`", at: key.position)
            return
        }
        add(Secret(name: name, source: source, testValue: object["test"]?.text ?? "test-\(name)", position: key.position))
        addPart(.secret, name, value.node)
    }

    private mutating func add(_ secret: Secret) {
        secretIndex[secret.name] = configuration.secrets.count
        configuration.secrets.append(secret)
    }

    /// What a function has in `env` beside its upstreams.
    mutating func grant(_ function: inout Function, _ object: ParsedObject) {
        var taken = Set((object["upstreams"]?.list ?? []).compactMap(\.text))
        for entry in object["kv"]?.named ?? [] {
            guard let name = entry.key.text, let wanted = entry.value.text, isFree(entry.key, &taken),
                let index = resolve(wanted, in: namespaceIndex, "namespace", .unknownNamespace, at: entry.value.position)
            else { continue }
            function.stores.append(Function.StoreBinding(name: name, namespace: index))
        }
        for grant in object["secrets"]?.list ?? [] {
            guard let name = grant.text, isFree(grant, &taken) else { continue }
            if let index = secretNamed(name, at: grant) { function.secrets.append(index) }
        }
        for entry in object["keys"]?.named ?? [] {
            guard let name = entry.key.text, let key = entry.value.object, isFree(entry.key, &taken), let binding = keyBinding(name, key) else { continue }
            function.keys.append(binding)
        }
        function.egress = egress(object["egress"])
        for grant in object["lists"]?.list ?? [] {
            let index = Dictionary(uniqueKeysWithValues: configuration.lists.enumerated().map { ($1.name, $0) })
            guard let name = grant.text, let found = resolve(name, in: index, "list", .unknownList, at: grant.position) else { continue }
            function.lists.append(found)
        }
        for entry in object["vars"]?.named ?? [] {
            guard let name = entry.key.text, let text = entry.value.text, isFree(entry.key, &taken) else { continue }
            function.variables[name] = text
        }
    }

    private mutating func keyBinding(_ name: String, _ object: ParsedObject) -> Function.KeyBinding? {
        guard let secret = object["secret"], let wanted = secret.text, let algorithm = object["algorithm"]?.text,
            let index = secretNamed(wanted, at: secret)
        else { return nil }
        var binding = Function.KeyBinding(name: name, secret: index, algorithm: algorithm)
        binding.format = object["format"]?.text.flatMap(Function.KeyBinding.Format.init) ?? .raw
        binding.hash = object["hash"]?.text ?? ""
        binding.curve = object["curve"]?.text ?? ""
        binding.usages = (object["usages"]?.list ?? []).compactMap(\.text)
        return binding
    }

    /// Every name in `env` means one thing.
    private func isFree(_ parsed: Parsed, _ taken: inout Set<String>) -> Bool {
        let name = parsed.text ?? ""
        guard taken.insert(name).inserted else {
            reporter.report(.duplicateName, "`env.\(name)` is granted twice", at: parsed.position)
            return false
        }
        return true
    }
}

extension RedisPlace {
    /// `redis://host:port/database`, `rediss://...`, `unix:/path`.
    init?(url: String) {
        self.init()
        if url.hasPrefix("unix:/") {
            path = String(url.dropFirst(5))
            return
        }
        isSecure = url.hasPrefix("rediss://")
        guard isSecure || url.hasPrefix("redis://") else { return nil }
        var rest = url.dropFirst(isSecure ? 9 : 8)
        if let slash = rest.firstIndex(of: "/") {
            let number = rest[rest.index(after: slash)...]
            guard let database = number.isEmpty ? 0 : Int(number), (0...999).contains(database) else { return nil }
            self.database = database
            rest = rest[..<slash]
        }
        guard !rest.contains("@"), let parts = Names.split(String(rest)), !parts.host.isEmpty else { return nil }
        host = parts.host
        port = parts.port ?? 6379
    }
}
