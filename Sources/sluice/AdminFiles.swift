import Reactor
import Rules
import Supervisor

/// The files of the admin address: read here, and kept out of those that workers get.
enum AdminFiles {
    private static let shortestToken = 32
    private static let fileLimit = 1 << 20

    static func read(
        _ configuration: Configuration, into bundle: inout ConfigurationBundle, _ files: FileBundle, _ complaints: inout [Diagnostic]
    ) {
        guard let admin = configuration.admin else { return }
        func complain(_ words: String, _ file: FileReference) {
            complaints.append(Diagnostic(.fileUnreadable, "\(file.path): \(words)", at: file.position, in: configuration, files))
        }
        func content(_ file: FileReference) -> ConfigurationBundle.File? {
            do throws(FileFailure) {
                return .init(path: file.path, bytes: try DiskFiles().read(file.path, limit: fileLimit))
            } catch {
                complain(ConfigurationFile.words(error), file)
                return nil
            }
        }
        bundle.adminTokens = admin.tokens.compactMap { token in
            guard let bytes = content(token.file)?.bytes else { return nil }
            let secret = String(decoding: bytes, as: UTF8.self).filter { !$0.isWhitespace }
            guard secret.utf8.count >= shortestToken else {
                complain("has fewer than \(shortestToken) bytes", token.file)
                return nil
            }
            return .init(name: token.name, role: token.role, secret: secret)
        }
        if let tls = admin.tls, let certificate = content(tls.certificate), let key = content(tls.key) {
            bundle.adminTLS = .init(
                certificate: certificate, key: key, authorities: tls.clients.flatMap { content($0.authorities) },
                revocations: tls.clients?.revocations.flatMap { content($0) },
                isRequired: tls.clients?.isRequired ?? false, needsTLS13: tls.minimumVersion == .tls13)
        }
        bundle.adminClients = admin.clients.map { client in
            var known = ConfigurationBundle.AdminClient(name: client.name, role: client.role)
            known.subject = client.subject ?? ""
            known.alternativeName = client.alternativeName ?? ""
            known.fingerprint = client.fingerprint ?? ""
            return known
        }
    }

    /// Why the admin address could not speak TLS with what was read.
    static func complaints(_ bundle: ConfigurationBundle) -> [Diagnostic] {
        guard let why = AdminEncryption.refusal(bundle) else { return [] }
        let files = FileBundle(files: Dictionary(bundle.files.map { ($0.path, $0.bytes) }) { first, _ in first })
        guard let configuration = RuleFile.load(bundle.mainFile, provider: files).configuration, let admin = configuration.admin else { return [] }
        return [Diagnostic(.certificate, "the admin address: \(why)", at: admin.tls?.certificate.position ?? admin.position, in: configuration, files)]
    }
}
