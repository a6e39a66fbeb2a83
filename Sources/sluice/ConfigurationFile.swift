import Reactor
import Rules
import Supervisor

/// A rule file as the supervisor wants it: loaded, checked, with all its files in one bundle.
enum ConfigurationFile {
    /// Certificates, keys and the like. Rule files and modules have limits of their own in Rules.
    private static let fileLimit = 16 << 20
    /// Shorter ones can be guessed. Bytes.

    /// What `sluice check` shows.
    struct Checked {
        var isGood: Bool
        var diagnostics: [Diagnostic]
        var summary = ""
    }

    static func load(_ path: String) throws(ConfigurationRejected) -> LoadedConfiguration { try load(path, .text) }

    /// - Parameter format: of the findings in the error.
    static func load(_ path: String, _ format: FindingsFormat) throws(ConfigurationRejected) -> LoadedConfiguration {
        let result = RuleFile.load(path, provider: DiskFiles())
        guard let configuration = result.configuration else {
            throw ConfigurationRejected(diagnostics: format.write(result.diagnostics))
        }
        var complaints: [Diagnostic] = []
        let bundle = bundle(path, configuration, result.filesRead, &complaints)
        guard complaints.isEmpty else { throw ConfigurationRejected(diagnostics: format.write(complaints)) }
        return LoadedConfiguration(bundle: bundle, notes: format.write(result.diagnostics))
    }

    static func check(_ path: String) -> Checked {
        let result = RuleFile.load(path, provider: DiskFiles())
        var checked = Checked(isGood: result.configuration != nil, diagnostics: result.diagnostics)
        guard let configuration = result.configuration else { return checked }
        let sites = configuration.sites
        let rules = sites.reduce(0) { $0 + $1.request.count + $1.response.count + $1.error.count }
        let counts = [
            (configuration.listeners.count, "listener"), (configuration.upstreams.count, "upstream"),
            (configuration.functions.count, "function"), (sites.count, "site"), (rules, "rule"),
        ]
        checked.summary = counts.map { "\($0) \($1)\($0 == 1 ? "" : "s")" }.joined(separator: ", ")
        // Certificates and hooks are tried in a process of their own: a module can end the one that loads it.
        switch Examination.run(path: path, arguments: ["sluice", "scratch", "--format", "json"]) {
        case .bad(let complaint):
            checked.isGood = false
            checked.diagnostics = Findings.read(complaint, in: configuration, result.filesRead) + result.diagnostics
        case .good(_, let notes):
            if !notes.isEmpty { checked.diagnostics += Findings.read(notes, in: configuration, result.filesRead) }
        }
        if checked.isGood { checked.diagnostics += Lint.hints(configuration, result.filesRead) }
        return checked
    }

    /// What only the gateway itself can tell: whether certificates and keys fit and hooks load.
    /// - Returns: warnings.
    static func validate(_ bundle: ConfigurationBundle, _ format: FindingsFormat) throws(ConfigurationRejected) -> String {
        let complaints = GatewayCheck.complaints(bundle) + AdminFiles.complaints(bundle)
        guard complaints.errorCount == 0 else { throw ConfigurationRejected(diagnostics: format.write(complaints)) }
        return complaints.isEmpty ? "" : format.write(complaints)
    }

    // MARK: Bundle

    private static func bundle(
        _ path: String, _ configuration: Configuration, _ read: FileBundle, _ complaints: inout [Diagnostic]
    ) -> ConfigurationBundle {
        let listeners = configuration.listeners.compactMap { listener(for: $0, configuration, read, &complaints) }
        let files = allFiles(configuration, read, &complaints)
        var bundle = ConfigurationBundle(
            mainFile: path, listeners: listeners, admin: admin(configuration),
            functions: configuration.functions.map { function in
                .init(name: function.name, fingerprint: fingerprint(function, files))
            },
            parts: configuration.parts.map { .init(kind: $0.kind.rawValue, name: $0.name, digest: $0.digest, group: $0.group) },
            files: files.sorted { $0.key < $1.key }.map { .init(path: $0.key, bytes: $0.value) })
        AdminFiles.read(configuration, into: &bundle, read, &complaints)
        bundle.endings = CertificateEndings.read(configuration, files, bundle.adminTLS)
        bundle.drain.upgrade = UInt64(configuration.drain.upgrade)
        bundle.drain.stop = UInt64(configuration.drain.stop)
        return bundle
    }

    private static func listener(
        for listener: Listener, _ configuration: Configuration, _ files: FileBundle, _ complaints: inout [Diagnostic]
    ) -> ConfigurationBundle.Listener? {
        switch listener.address {
        case .tcp(let host, let port): return .init(name: listener.name, address: host, port: port)
        case .unix(let path):
            complaints.append(Diagnostic(
                .notServable, "listener \"\(listener.name)\": listening on the Unix socket \(path) is not supported",
                at: listener.position, in: configuration, files, label: "use an IP address and a port, such as \"127.0.0.1:8080\""))
            return nil
        }
    }

    private static func admin(_ configuration: Configuration) -> String? {
        switch configuration.admin?.address {
        case .tcp(let host, let port): ConfigurationBundle.Listener(name: "admin", address: host, port: port).endpoint
        case .unix(let path): "unix:\(path)"
        case nil: nil
        }
    }

    /// The content of every file the configuration names. The loader only looks whether certificates
    /// and keys are there; workers need their bytes.
    private static func allFiles(
        _ configuration: Configuration, _ read: FileBundle, _ complaints: inout [Diagnostic]
    ) -> [String: [UInt8]] {
        var files = read.files
        var wanted: [FileReference] = configuration.upstreams.compactMap(\.tls.authorities)
        for pair in configuration.upstreams.compactMap(\.tls.certificate) { wanted += [pair.certificate, pair.key] }
        for case .redis(let redis) in configuration.namespaces.map(\.place) { wanted += [redis.authorities].compactMap { $0 } }
        if let authorities = configuration.egress.authorities { wanted.append(authorities) }
        if let debug = configuration.debug { wanted.append(debug.key) }
        for listener in configuration.listeners {
            wanted += listener.tls?.files ?? []
        }
        for file in wanted where files[file.path] == nil {
            do throws(FileFailure) {
                files[file.path] = try DiskFiles().read(file.path, limit: fileLimit)
            } catch {
                complaints.append(Diagnostic(
                    .fileUnreadable, "\(file.path): \(words(error))", at: file.position, in: configuration, read))
            }
        }
        SecretFiles.read(configuration, into: &files) { secret, words in
            complaints.append(Diagnostic(.secret, words, at: secret.position, in: configuration, read))
        }
        return files
    }

    static func words(_ failure: FileFailure) -> String {
        switch failure {
        case .missing: "there is no such file"
        case .unreadable(let why): "cannot be read: \(why)"
        }
    }

    /// Changes when a module of the function does: then a fence is lifted.
    private static func fingerprint(_ function: Function, _ files: [String: [UInt8]]) -> UInt64 {
        var fingerprint = Fingerprint()
        for path in function.moduleFiles {
            fingerprint.add(path.utf8)
            fingerprint.add(files[path] ?? [])
        }
        return fingerprint.value
    }
}

extension String {
    init(copying bytes: borrowing Span<UInt8>) {
        var copy: [UInt8] = []
        for index in 0..<bytes.count { copy.append(bytes[index]) }
        self = String(decoding: copy, as: UTF8.self)
    }
}
