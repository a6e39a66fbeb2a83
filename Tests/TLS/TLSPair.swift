import Buffers
import Glibc
import Reactor
import TLS
import Testing

/// A client and a server of this process, joined by a socket pair.
final class TLSPair {
    let reactor: Reactor
    let pool = SlabPool()
    let server: TLSTransport
    let client: TLSTransport
    private(set) var serverFD: Int32
    private(set) var clientFD: Int32
    var serverInput: ReadBuffer
    var clientInput: ReadBuffer
    var serverOutput: OutputBuffer
    var clientOutput: OutputBuffer

    /// - Parameter tcp: over loopback, which is what the kernel's TLS needs.
    init(
        _ server: ServerContext, _ client: ClientContext, name: String = "www.example.test", socketBytes: Int32? = nil, tcp: Bool = false
    ) throws {
        reactor = try Reactor()
        let fds = tcp ? try TLSPair.overTCP(reactor) : TLSPair.local()
        (serverFD, clientFD) = (fds[0], fds[1])
        if let socketBytes { TLSPair.shrink(fds, to: socketBytes) }
        self.server = TLSTransport(server: server, fd: fds[0], reactor: reactor)
        self.client = TLSTransport(client: client, fd: fds[1], serverName: name, reactor: reactor)
        serverInput = ReadBuffer(pool: pool)
        clientInput = ReadBuffer(pool: pool)
        serverOutput = OutputBuffer(pool: pool)
        clientOutput = OutputBuffer(pool: pool)
    }

    /// Two sockets that are joined.
    static func local() -> [Int32] {
        var fds: [Int32] = [0, 0]
        // SAFETY: socketpair writes two descriptors into an array of two.
        let result = unsafe fds.withUnsafeMutableBufferPointer {
            unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, $0.baseAddress)
        }
        precondition(result == 0)
        return fds
    }

    private static func overTCP(_ reactor: Reactor) throws -> [Int32] {
        let (listener, port) = try ListeningSocket.openSingle(ConfigurationBundle.Listener(name: "pair", address: "127.0.0.1", port: 0))
        defer { close(listener) }
        let address = IPAddress("127.0.0.1") ?? .unspecified
        let (client, _) = try Connecting.start(address, port: port, reactor: reactor)
        for _ in 0..<100_000 {
            if case .accepted(let server, _, _) = Listening.accept(listener, reactor: reactor) { return [server, client] }
        }
        throw SystemError(call: "accept", code: EAGAIN)
    }

    private static func shrink(_ fds: [Int32], to bytes: Int32) {
        for fd in fds {
            var size = bytes
            // SAFETY: the option's value is an Int32.
            unsafe setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, 4)
            unsafe setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, 4)
        }
    }

    deinit {
        cutServer()
        cutClient()
    }

    func cutServer() {
        if serverFD >= 0 { close(serverFD) }
        serverFD = -1
    }

    func cutClient() {
        if clientFD >= 0 { close(clientFD) }
        clientFD = -1
    }

    struct Outcome {
        var server: TLSConnectionInfo?
        var client: TLSConnectionInfo?
        var serverFailure = ""
        var clientFailure = ""
    }

    /// Lets both sides take turns until both are done or one failed.
    func shakeHands() -> Outcome {
        var outcome = Outcome()
        for _ in 0..<2000 {
            if outcome.client == nil, outcome.clientFailure.isEmpty {
                switch client.handshake() {
                case .done(let info): outcome.client = info
                case .failed(let note): outcome.clientFailure = note
                case .wantsRead, .wantsWrite: break
                }
            }
            if outcome.server == nil, outcome.serverFailure.isEmpty {
                switch server.handshake() {
                case .done(let info): outcome.server = info
                case .failed(let note): outcome.serverFailure = note
                case .wantsRead, .wantsWrite: break
                }
            }
            let clientEnded = outcome.client != nil || !outcome.clientFailure.isEmpty
            let serverEnded = outcome.server != nil || !outcome.serverFailure.isEmpty
            if clientEnded && serverEnded { break }
        }
        return outcome
    }

    /// Bytes in the server's output.
    var waiting: Int { serverOutput.byteCount }

    /// Moves everything in the server's output to the client and returns what arrived.
    func download(_ limit: Int = 1_000_000) -> [UInt8] {
        var received: [UInt8] = []
        for _ in 0..<limit {
            _ = server.send(&serverOutput)
            let result = client.receive(into: &clientInput)
            received += clientInput.bytes.array()
            clientInput.consume(clientInput.count)
            if serverOutput.isEmpty, case .wouldBlock = result { break }
        }
        return received
    }

    /// Moves everything in the client's output to the server and returns what arrived.
    func upload(_ limit: Int = 1_000_000) -> [UInt8] {
        var received: [UInt8] = []
        for _ in 0..<limit {
            _ = client.send(&clientOutput)
            let result = server.receive(into: &serverInput)
            received += serverInput.bytes.array()
            serverInput.consume(serverInput.count)
            if clientOutput.isEmpty, case .wouldBlock = result { break }
        }
        return received
    }
}

/// Bytes that differ at each place, so that a mix-up shows.
func pattern(_ count: Int) -> [UInt8] {
    var value: UInt32 = 12345
    return (0..<count).map { _ in
        value = value &* 1_664_525 &+ 1_013_904_223
        return UInt8(truncatingIfNeeded: value >> 24)
    }
}

extension TLSPair {
    /// So many bytes in both directions.
    func exchange(_ count: Int) {
        let sent = pattern(count)
        serverOutput.append(copying: sent.span)
        clientOutput.append(copying: sent.span)
        expectSame(download(), sent)
        expectSame(upload(), sent)
    }

    /// Writes bytes to the server's socket as they are.
    func writeRaw(_ bytes: [UInt8]) {
        // SAFETY: the array is alive for the length of the call.
        let written = unsafe bytes.withUnsafeBytes { unsafe write(clientFD, $0.baseAddress, $0.count) }
        precondition(written == bytes.count)
    }

    /// Reads what waits on the client's socket as it is.
    func readRaw() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        // SAFETY: read writes at most the array's size.
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(clientFD, $0.baseAddress, $0.count) }
        return Array(bytes.prefix(max(count, 0)))
    }
}

/// Compares bodies without printing them.
func expectSame(_ one: [UInt8], _ other: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) {
    let same = one == other
    #expect(same, "\(one.count) bytes and \(other.count) bytes differ", sourceLocation: sourceLocation)
}
