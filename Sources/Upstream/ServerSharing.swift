import HTTP
import Reactor

/// What a server's health owes to other workers, and they to it.
extension Server {
    /// Stands for the server and for how it is asked, in every worker and generation.
    static func healthKey(_ address: UpstreamSettings.Server, _ settings: UpstreamSettings) -> UInt64 {
        let place = address.path ?? "\(address.host):\(address.port)"
        let check = settings.health.map { "\($0)" } ?? "-"
        return max(Rendezvous.hash("\(settings.name) \(place) \(address.secure) \(check)"), 1)
    }

    /// Takes over what other workers found out meanwhile.
    func learn(_ now: UInt64) {
        guard let shared else { return }
        if let checker, !checker.asks {
            switch shared.verdict(now: now) {
            case .unknown: break
            case .up: health.heard(isDown: false, now: now)
            case .down: health.heard(isDown: true, now: now)
            }
        }
        let ejected = shared.ejectedUntil
        guard ejected > knownEjection else { return }
        knownEjection = ejected
        if ejected > now { health.heardOfEjection(until: ejected) }
    }

    /// This worker ejected the server: the others need not find out for themselves.
    func tellEjection() {
        knownEjection = max(knownEjection, health.ejectedUntil)
        shared?.eject(until: health.ejectedUntil)
    }
}
