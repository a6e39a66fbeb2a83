import Reactor
import TLS

/// The two places where the supervisor is asked: the admin address and the control socket.
extension Supervisor {
    func openAdmin() throws -> AdminServer? {
        let text = options.admin ?? current.bundle.admin ?? SupervisorOptions.defaultAdmin
        if text == "off" { return nil }
        if text.hasPrefix("unix:") { return try openAdmin(path: String(text.dropFirst(5))) }
        guard let endpoint = EndpointText(text) else {
            throw ConfigurationRejected(
                diagnostics: "admin address \"\(text)\" is not ADDRESS:PORT; write it like 127.0.0.1:9901 or [::1]:9901, unix:/path, or \"off\"")
        }
        if let known = takeover?.takeAdmin(text) {
            return AdminServer(adopting: known.socket, name: text, endpoint: known.endpoint, isLocal: false, supervisor: self)
        }
        let listener = ConfigurationBundle.Listener(name: "admin", address: endpoint.address, port: endpoint.port)
        return try AdminServer(listener, name: text, supervisor: self)
    }

    /// A second control socket, at a place that the configuration names.
    private func openAdmin(path: String) throws -> AdminServer {
        if let known = takeover?.takeAdmin(path) {
            return AdminServer(adopting: known.socket, name: path, endpoint: path, isLocal: true, supervisor: self)
        }
        return try AdminServer(path: path, supervisor: self)
    }

    /// Who may ask for what, and how the admin address speaks TLS, is as the configuration in use says.
    func applyAdmin() throws {
        let encryption = try AdminEncryption.context(current.bundle)
        access.configure(current.bundle.adminTokens)
        access.configure(current.bundle.adminClients) { encryption?.certificateIndex(for: $0) != nil }
        admin?.encryption = encryption
        for warning in encryption?.warnings ?? [] { log.warning("admin", "\(warning)") }
        if let admin, let link = admin.link, encryption == nil, !Supervisor.isLoopback(admin.endpoint) {
            log.warning("admin", "\(link) is reached from other machines without TLS: tokens can be read on the way; give `admin` a `tls`, or bind it to 127.0.0.1")
        }
    }

    private static func isLoopback(_ endpoint: String) -> Bool { endpoint.hasPrefix("127.") || endpoint.hasPrefix("[::1]") }

    /// The control socket. A gateway without one serves all the same: signals still work.
    func openControl() -> AdminServer? {
        let path = options.control ?? ControlPath.of(configuration: options.configurationPath)
        if path == "off" { return nil }
        if let known = takeover?.takeAdmin(path) {
            return AdminServer(adopting: known.socket, name: path, endpoint: path, isLocal: true, supervisor: self)
        }
        do {
            if options.control == nil { try RuntimeFolder.make(RuntimeFolder.path) }
            return try AdminServer(path: path, supervisor: self)
        } catch {
            log.warning("control", "no control socket: \(error); \"sluice reload\" and \"sluice status\" cannot reach this gateway (--control PATH names another place)")
            return nil
        }
    }
}
