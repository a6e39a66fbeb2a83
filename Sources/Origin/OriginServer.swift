import Buffers
import HTTP
import Reactor

/// The demo origin: one thread, one port.
public final class OriginServer {
    private let reactor: Reactor
    private let listener: OriginListener
    /// The port it listens on; of the kernel's choice when 0 was asked for.
    public let port: UInt16

    /// - Throws: `ListenError` that names the address and what to do, or `SystemError`.
    public init(address: String, port: UInt16) throws {
        reactor = try Reactor()
        // The queue of a worker's listener: a gateway that opens hundreds of connections at once must not wait for it.
        let (sockets, port) = try ListeningSocket.openGroup(.init(name: "origin", address: address, port: port), count: 1)
        self.port = port
        listener = OriginListener(fd: sockets[0], reactor: reactor)
        try reactor.addLevelTriggered(listener)
    }

    /// Serves until SIGTERM or SIGINT.
    public func run() throws {
        Signal.ignorePipe()
        let signals = try OriginSignals(reactor: reactor)
        try reactor.addLevelTriggered(signals)
        reactor.run()
        reactor.remove(signals)
    }
}

extension Signal {
    static func ignorePipe() { SignalDescriptor.ignore(.pipe) }
}

/// Ends the loop on SIGTERM and SIGINT.
private final class OriginSignals: Channel {
    private let signals: SignalDescriptor
    private unowned let reactor: Reactor

    init(reactor: Reactor) throws(SystemError) {
        signals = try SignalDescriptor([.terminate, .interrupt])
        self.reactor = reactor
        super.init(fd: signals.descriptor.number)
    }

    override func ready(_ events: ReadyEvents) {
        while let signal = signals.next() {
            if signal == .terminate || signal == .interrupt { reactor.stop() }
        }
    }
}

/// What all connections share.
final class OriginShared {
    let pool = SlabPool()
    /// 16 KiB of the 256 byte values over and over: bodies are shares of it.
    let pattern: Slice
    var requests = 0

    init() {
        let bytes = (0..<SlabSize.small.rawValue).map { UInt8(truncatingIfNeeded: $0) }
        var chain = Chain()
        chain.append(copying: bytes.span, from: pool)
        guard let slice = chain.popFirst() else { preconditionFailure("the pattern is not empty") }
        pattern = slice
    }
}

private final class OriginListener: Channel {
    private let shared = OriginShared()
    private unowned let reactor: Reactor

    init(fd: Int32, reactor: Reactor) {
        self.reactor = reactor
        super.init(fd: fd)
    }

    override func ready(_ events: ReadyEvents) {
        for _ in 0..<64 {
            guard case .accepted(let fd, _, _) = Listening.accept(fd, reactor: reactor) else { return }
            let client = OriginClient(fd: fd, reactor: reactor, shared: shared)
            do { try reactor.add(client) } catch { Listening.reject(fd) }
        }
    }
}
