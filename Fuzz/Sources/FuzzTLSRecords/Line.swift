import Buffers
import Glibc
import Reactor
import Support
@testable import TLS

/// A server that makes its records, and a client that forges them, with every byte between them in our hands.
final class Line {
    let server: TLSTransport
    let client: TLSTransport
    private let pool = SlabPool()
    private var output: OutputBuffer
    private let fds: [Int32]
    /// On its way to the server.
    private(set) var wire: [UInt8] = []

    init(_ contexts: Contexts) {
        fds = Line.sockets() + Line.sockets()
        server = TLSTransport(server: contexts.server, fd: fds[0], reactor: contexts.reactor)
        client = TLSTransport(client: contexts.client, fd: fds[2], serverName: "fuzz.test", reactor: contexts.reactor)
        client.forge()
        output = OutputBuffer(pool: pool)
        var isOpen = (false, false)
        for _ in 0..<20 where !(isOpen.0 && isOpen.1) {
            if !isOpen.1, case .done = client.handshake() { isOpen.1 = true }
            move(Int.max)
            if !isOpen.0, case .done = server.handshake() { isOpen.0 = true }
            back()
        }
        require(server.makesRecords && client.makesRecords, "no handshake: \(server.failure), \(client.failure)")
    }

    deinit { for fd in fds { close(fd) } }

    private static func sockets() -> [Int32] {
        var fds: [Int32] = [0, 0]
        require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &fds) == 0, "no sockets")
        return fds
    }

    private func take(_ fd: Int32) -> [UInt8] {
        var all: [UInt8] = []
        var bytes = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(fd, &bytes, bytes.count)
            if count <= 0 { return all }
            all += bytes[..<count]
        }
    }

    /// Puts bytes that are nobody's on the wire.
    func disturb(_ bytes: some Sequence<UInt8>) {
        wire += take(fds[3])
        wire += bytes
    }

    /// Lets the server have the next bytes of the wire: at most what a socket takes.
    func move(_ most: Int) {
        wire += take(fds[3])
        let count = write(fds[1], wire, min(most, wire.count, 65_536))
        if count > 0 { wire.removeFirst(count) }
    }

    /// Lets the client have everything that the server sent. - Returns: whether there was something.
    @discardableResult
    func back() -> Bool {
        let bytes = take(fds[1])
        return bytes.isEmpty ? false : write(fds[3], bytes, bytes.count) == bytes.count
    }

    /// Sends from the server, in slices of a length, and gives what the client reads.
    func answer(_ bytes: [UInt8], slices: Int) -> [UInt8] {
        for end in cuts(bytes.count, step: slices) {
            let start = end == bytes.count ? (bytes.count - 1) / slices * slices : end - slices
            var chain = Chain()
            chain.append(copying: bytes[start..<end].span, from: pool)
            output.append(contentsOf: &chain)
        }
        var received: [UInt8] = []
        for _ in 0..<1_000 {
            let result = server.send(&output)
            back()
            received += client.readRecords(room: 70_000).bytes
            if case .failed = result { output.removeAll() }
            if output.isEmpty { break }
        }
        return received
    }
}

/// What all lines share: a certificate of this run.
struct Contexts {
    let reactor: Reactor
    let server: ServerContext
    let client: ClientContext

    /// - Parameter suite: of TLS 1.3.
    init(suite: String, pem: [UInt8]) throws {
        reactor = try Reactor()
        var serving = ServerOptions()
        serving.usesKernel = false
        serving.resumesSessions = false
        server = try ServerContext([CertificateSource(certificate: pem, key: pem, certificateName: "fuzz", keyName: "fuzz")], options: serving)
        var options = ClientOptions()
        options.verifiesPeer = false
        client = try ClientContext(options)
        client.setSuites(suite)
    }

    // SAFETY: libFuzzer calls on one thread.
    nonisolated(unsafe) static let all: [Contexts] = {
        let pem = certificate()
        return ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"].map {
            do { return try Contexts(suite: $0, pem: pem) } catch { fatalError("\($0): \(error)") }
        }
    }()

    private static func certificate() -> [UInt8] {
        let command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=fuzz.test"
            + " -addext subjectAltName=DNS:fuzz.test -keyout - -out - 2>/dev/null"
        guard let pipe = popen(command, "r") else { return [] }
        defer { pclose(pipe) }
        var bytes = [UInt8](repeating: 0, count: 16_384)
        let count = fread(&bytes, 1, bytes.count, pipe)
        return Array(bytes[..<count])
    }
}
