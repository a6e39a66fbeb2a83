import Reactor
import Rules
import Supervisor
import Telemetry

/// A rule file as the supervisor wants it: loaded, checked, with all its files in one bundle.
enum ConfigurationFile {
    /// Certificates, keys and the like. Rule files and modules have limits of their own in Rules.
    private static let fileLimit = 16 << 20

    /// What `sluice check` shows.
    struct Checked {
        var isGood: Bool
        var text: String
        var json: String
        var summary: String
    }

    static func load(_ path: String) throws(ConfigurationRejected) -> LoadedConfiguration {
        let result = RuleFile.load(path, provider: DiskFiles())
        guard let configuration = result.configuration else {
            throw ConfigurationRejected(diagnostics: text(result.diagnostics))
        }
        return LoadedConfiguration(
            bundle: try bundle(path, configuration, result.filesRead), notes: text(result.diagnostics))
    }

    static func check(_ path: String) -> Checked {
        let result = RuleFile.load(path, provider: DiskFiles())
        var checked = Checked(
            isGood: result.configuration != nil, text: text(result.diagnostics), json: result.diagnostics.json,
            summary: "")
        guard let configuration = result.configuration else { return checked }
        let sites = configuration.sites
        let rules = sites.reduce(0) { $0 + $1.request.count + $1.response.count + $1.error.count }
        let counts = [
            (configuration.listeners.count, "listener"), (configuration.upstreams.count, "upstream"),
            (configuration.functions.count, "function"), (sites.count, "site"), (rules, "rule"),
        ]
        checked.summary = counts.map { "\($0) \($1)\($0 == 1 ? "" : "s")" }.joined(separator: ", ")
        // Certificates and hooks are tried in a process of their own: a module can end the one that loads it.
        if case .bad(let complaint) = Examination.run(path: path) {
            checked.isGood = false
            checked.text += complaint
            checked.json = json(of: complaint, after: result.diagnostics)
        }
        return checked
    }

    /// What only the gateway itself can tell: whether certificates and keys fit and hooks load.
    static func validate(_ bundle: ConfigurationBundle) throws(ConfigurationRejected) -> String {
        if let complaint = GatewayCheck.complaint(bundle) { throw ConfigurationRejected(diagnostics: complaint) }
        return ""
    }

    // MARK: Bundle

    private static func bundle(
        _ path: String, _ configuration: Configuration, _ read: FileBundle
    ) throws(ConfigurationRejected) -> ConfigurationBundle {
        var complaints: [String] = []
        let listeners = configuration.listeners.compactMap { listener(for: $0, configuration, &complaints) }
        let files = allFiles(configuration, read, &complaints)
        guard complaints.isEmpty else { throw ConfigurationRejected(diagnostics: complaints.joined(separator: "\n")) }
        return ConfigurationBundle(
            mainFile: path, listeners: listeners, admin: admin(configuration),
            functions: configuration.functions.map { function in
                .init(name: function.name, fingerprint: fingerprint(function, files))
            },
            parts: configuration.parts.map { .init(kind: $0.kind.rawValue, name: $0.name, digest: $0.digest, group: $0.group) },
            files: files.sorted { $0.key < $1.key }.map { .init(path: $0.key, bytes: $0.value) })
    }

    private static func listener(
        for listener: Listener, _ configuration: Configuration, _ complaints: inout [String]
    ) -> ConfigurationBundle.Listener? {
        switch listener.address {
        case .tcp(let host, let port): return .init(name: listener.name, address: host, port: port)
        case .unix(let path):
            complaints.append(
                "\(configuration.describe(listener.position)): listener \"\(listener.name)\": listening on the Unix socket "
                    + "\(path) is not supported; use an IP address and a port, such as \"127.0.0.1:8080\"")
            return nil
        }
    }

    private static func admin(_ configuration: Configuration) -> String? {
        guard case .tcp(let host, let port)? = configuration.admin?.address else { return nil }
        return ConfigurationBundle.Listener(name: "admin", address: host, port: port).endpoint
    }

    /// The content of every file the configuration names. The loader only looks whether certificates
    /// and keys are there; workers need their bytes.
    private static func allFiles(
        _ configuration: Configuration, _ read: FileBundle, _ complaints: inout [String]
    ) -> [String: [UInt8]] {
        var files = read.files
        var wanted: [FileReference] = configuration.upstreams.compactMap(\.tls.authorities)
        for listener in configuration.listeners {
            for pair in listener.tls?.certificates ?? [] { wanted += [pair.certificate, pair.key] }
        }
        for file in wanted where files[file.path] == nil {
            do throws(FileFailure) {
                files[file.path] = try DiskFiles().read(file.path, limit: fileLimit)
            } catch {
                complaints.append("\(configuration.describe(file.position)): \(file.path): \(words(error))")
            }
        }
        return files
    }

    private static func words(_ failure: FileFailure) -> String {
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

    // MARK: Text

    private static func text(_ diagnostics: [Diagnostic]) -> String {
        diagnostics.isEmpty ? "" : diagnostics.text + "\n" + diagnostics.summary
    }

    /// The loader's findings and one more that has no place in the rule file.
    private static func json(of complaint: String, after diagnostics: [Diagnostic]) -> String {
        var writer = JSONLineWriter()
        writer.beginObject()
        writer.field("code", "gateway")
        writer.field("severity", "error")
        writer.field("message", complaint)
        writer.endObject()
        let object = String(copying: writer.bytes)
        return diagnostics.isEmpty ? "[\n\(object)\n]" : "\(diagnostics.json.dropLast(2)),\n\(object)\n]"
    }
}

extension String {
    init(copying bytes: borrowing Span<UInt8>) {
        var copy: [UInt8] = []
        for index in 0..<bytes.count { copy.append(bytes[index]) }
        self = String(decoding: copy, as: UTF8.self)
    }
}
