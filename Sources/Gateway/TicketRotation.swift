import HTTP
import Reactor
import TLS
import Telemetry

/// What all workers of a gateway know and nobody else, in hexadecimal.
enum GatewaySecret {
    static func read(_ settings: [String: String]) -> [UInt8] {
        let digits = Array((settings["ticket-key"] ?? "").utf8)
        return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
            UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16)
        }
    }

    /// What sticky cookies are made with: it survives reloads and upgrades, and a secret that several gateways share makes it theirs.
    static func sticky(_ settings: [String: String]) -> [UInt8] {
        MessageCode.make(key: read(settings), text: Array("sluice sticky cookies".utf8)) ?? []
    }
}

/// What follows from the secret and the time.
extension TicketKeyRing {
    init(_ settings: [String: String]) {
        self.init(secret: GatewaySecret.read(settings), interval: settings["ticket-rotation"].flatMap { Int($0) } ?? 43_200)
    }
}

extension TLSInfo {
    /// What a handshake settled, as rules and logs see it.
    convenience init(_ info: TLSConnectionInfo, began: UInt64, ended: UInt64) {
        self.init(
            version: info.version, cipher: info.cipher, serverName: info.serverName, clientSubject: info.peer?.subject ?? "",
            clientVerified: info.peer?.isVerified ?? false, fingerprint: info.fingerprint, clientIssuer: info.peer?.issuer ?? "",
            clientSerial: info.peer?.serial ?? "", clientFingerprint: info.peer?.fingerprint ?? "",
            handshakeBegan: began, handshakeEnded: ended)
    }
}

/// Hands new keys to the listeners when their time has come: each worker by itself, all at the same time.
final class TicketRotation: Timer {
    private unowned let worker: Worker
    private let ring: TicketKeyRing
    private var epoch: Int

    init(_ worker: Worker) {
        self.worker = worker
        ring = TicketKeyRing(worker.context.settings)
        epoch = ring.epoch(at: worker.wallSeconds)
    }

    /// For listeners that begin now.
    var keys: [TicketKey] { ring.keys(at: ring.epoch(at: worker.wallSeconds)) }

    func start() { worker.schedule(self, after: 1000) }

    override func fire() {
        let now = ring.epoch(at: worker.wallSeconds)
        if now != epoch {
            epoch = now
            let keys = ring.keys(at: now)
            for listener in worker.generation?.listeners.values ?? [:].values { listener.tls?.setTicketKeys(keys) }
            worker.metrics.add(.tlsTicketRotations)
        }
        worker.schedule(self, after: 1000)
    }
}
