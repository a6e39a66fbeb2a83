import Reactor
import Rules
import TLS

/// Which certificates and OCSP responses a configuration names, and when each ends: the supervisor watches them.
enum CertificateEndings {
    static func read(_ configuration: Configuration, _ files: [String: [UInt8]], _ admin: ConfigurationBundle.AdminTLS?) -> [ConfigurationBundle.Ending] {
        var found: [ConfigurationBundle.Ending] = []
        func add(_ path: String, _ use: ConfigurationBundle.Ending.Use, _ bytes: [UInt8]?) {
            guard let bytes, let span = use == .ocsp ? ValiditySpan(staple: bytes) : ValiditySpan(certificate: bytes) else { return }
            let ending = ConfigurationBundle.Ending(file: path, use: use, begins: span.begins, ends: span.ends)
            if !found.contains(ending) { found.append(ending) }
        }
        for pair in configuration.listeners.flatMap({ $0.tls?.certificates ?? [] }) {
            add(pair.certificate.path, .listener, files[pair.certificate.path])
            if let staple = pair.staple { add(staple.path, .ocsp, files[staple.path]) }
        }
        for pair in configuration.upstreams.compactMap(\.tls.certificate) { add(pair.certificate.path, .origin, files[pair.certificate.path]) }
        if let admin { add(admin.certificate.path, .admin, admin.certificate.bytes) }
        return found
    }
}
