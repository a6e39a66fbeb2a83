import Reactor
import TLS
import Telemetry

/// Which connections a worker takes, and which it gives up for others.
extension Worker {
    /// Whether the kernel makes TLS records. Where it does not, several leave with one system call all the same.
    /// And what certificates should be looked at: a reload has the same said by whoever examined the files.
    func noteTLS(_ generation: ServingGeneration) {
        for (name, listener) in generation.listeners.sorted(by: { $0.key < $1.key }) {
            for warning in listener.tls?.warnings ?? [] { note(.warning, "listener \(name): \(warning)") }
        }
        note(.info, "kernel TLS: " + (KernelTLS.refusal.map { "not available (\($0))" } ?? "used for answers, unless a listener says otherwise"))
    }

    /// Gives up the handshake that has lasted longest, when there are too many: it is the one least likely to end well.
    func makeRoomForHandshake(_ limit: Int) {
        guard handshakes.count >= limit else { return }
        guard let oldest = handshakes.values.lazy.compactMap({ $0 as? HandshakingConnection }).min(by: { $0.began < $1.began }), now - oldest.began >= 1000 else { return }
        metrics.add(.tlsHandshakesDropped)
        oldest.fail()
    }

    func listener(named name: String) -> ListenerState? { generation?.listeners[name] }

    /// A connection may be kept for another request.
    var keepsConnections: Bool { !isDraining && !shedsIdleConnections }

    /// Whether a connection is closed although its client was not told to send no more.
    var closesIdleConnections: Bool { isDraining && !idleMayLinger || shedsIdleConnections }

    /// New connections wait in the kernel's queue, or are taken again.
    func pauseAccepting(_ pause: Bool) {
        for acceptor in acceptors { acceptor.isPaused = pause }
    }
}

extension RecordMaker {
    /// Connections of this kind.
    var counter: Counter {
        switch self {
        case .gateway: .tlsRecordsGateway
        case .openSSL: .tlsRecordsOpenSSL
        case .kernel: .tlsRecordsKernel
        }
    }
}
