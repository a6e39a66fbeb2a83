import Buffers
import Reactor

/// Why a running gateway could not be asked, with what to do about it.
public struct AdminClientError: Error, Sendable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }

    /// The gateway answered with a refusal (RFC 9457 problem details).
    public init(refused answer: AdminClient.Answer) {
        description = "the gateway answered \(answer.status): \(answer.body)"
    }
}

/// Where the control socket of a gateway is.
public enum ControlPath {
    /// The socket of the gateway that serves this rule file.
    public static func of(configuration: String) -> String {
        var fingerprint = Fingerprint()
        fingerprint.add(RuntimeFolder.resolved(configuration).utf8)
        return "\(RuntimeFolder.path)/\(String(fingerprint.value, radix: 16)).sock"
    }

    /// The sockets on which a gateway of this user answers.
    public static func running() -> [String] {
        let folder = RuntimeFolder.path
        return RuntimeFolder.entries(folder).filter { $0.hasSuffix(".sock") }.map { "\(folder)/\($0)" }.filter { path in
            do throws(SystemError) {
                ListeningSocket.close(try LocalSocket.connect(path))
                return true
            } catch {
                // Left over by a gateway that was killed.
                if error.code == 111 { RuntimeFolder.remove(path) }
                return false
            }
        }
    }

    /// Picks the gateway a command is meant for.
    /// - Parameters:
    ///   - socket: the socket itself, when the caller knows it.
    ///   - configuration: the rule file it serves. Without both there must be one gateway only.
    public static func choose(socket: String?, configuration: String?) throws(AdminClientError) -> String {
        if let socket { return socket }
        if let configuration { return of(configuration: configuration) }
        let all = running()
        guard let first = all.first else {
            throw AdminClientError("no gateway of this user is running (looked in \(RuntimeFolder.path)); start one with \"sluice run --config FILE\"")
        }
        guard all.count == 1 else {
            throw AdminClientError(
                "\(all.count) gateways are running; say which with --config FILE or --socket PATH:\n" + all.map { "  \($0)" }.joined(separator: "\n"))
        }
        return first
    }
}

/// Finds the lines of an answer that comes in pieces.
private struct LineSplitter {
    let take: (String) -> Void
    private var rest: [UInt8] = []
    private var isInBody = false

    init(take: @escaping (String) -> Void) { self.take = take }

    /// - Returns: true when the bytes were taken; the head of a refusal is not.
    mutating func add(_ bytes: [UInt8]) -> Bool {
        var bytes = bytes
        if !isInBody {
            guard bytes.starts(with: Array("HTTP/1.1 200 ".utf8)), let end = AdminClient.find([13, 10, 13, 10], in: bytes) else { return false }
            isInBody = true
            bytes.removeFirst(end + 4)
        }
        rest += bytes
        while let feed = rest.firstIndex(of: 10) {
            take(String(decoding: rest[..<feed], as: UTF8.self))
            rest.removeFirst(feed + 1)
        }
        return true
    }

    /// What was not taken.
    func refusal(_ bytes: [UInt8]) -> [UInt8]? { isInBody ? nil : bytes }
}

/// Asks a gateway on this machine, through its control socket. Blocks.
public enum AdminClient {
    public struct Answer: Sendable {
        public let status: Int
        public let body: String
    }

    /// Largest answer, in bytes.
    private static let limit = 64 << 20

    /// - Parameters:
    ///   - target: path and query.
    ///   - seconds: how long the answer may take.
    public static func ask(
        _ path: String, _ method: String, _ target: String, seconds: UInt64 = 90
    ) throws(AdminClientError) -> Answer {
        let bytes = try exchange(path, "\(method) \(target) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", seconds)
        return try parse(bytes, path)
    }

    /// Hands on each line of an answer as it comes, until the gateway ends it.
    /// - Throws: also when the answer is a refusal.
    public static func lines(_ path: String, _ target: String, _ take: @escaping (String) -> Void) throws(AdminClientError) {
        var splitter = LineSplitter(take: take)
        let request = "GET \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n"
        let bytes = try exchange(path, request, nil) { splitter.add($0) }
        if let refusal = splitter.refusal(bytes) { throw AdminClientError(refused: try parse(refusal, path)) }
    }

    private static func exchange(
        _ path: String, _ request: String, _ seconds: UInt64?, _ take: (([UInt8]) -> Bool)? = nil
    ) throws(AdminClientError) -> [UInt8] {
        do {
            let socket = try LocalSocket.connect(path)
            let reactor = try Reactor()
            let call = AdminCall(socket, reactor, request, seconds, take)
            try reactor.add(call)
            reactor.run()
            if let failure = call.failure { throw AdminClientError("\(path): \(failure)") }
            return call.answer
        } catch let error as AdminClientError {
            throw error
        } catch let error as SystemError {
            throw AdminClientError(words(error, path))
        } catch {
            throw AdminClientError("\(error)")
        }
    }

    private static func words(_ error: SystemError, _ path: String) -> String {
        switch error.code {
        case 2, 111:  // ENOENT, ECONNREFUSED
            "no gateway answers on \(path); is it running, for this rule file, and by this user?"
        case 13:  // EACCES
            "\(path): not permitted; run the command as the user who runs the gateway, or as root"
        default: "\(error)"
        }
    }

    private static func parse(_ bytes: [UInt8], _ path: String) throws(AdminClientError) -> Answer {
        let text = String(decoding: bytes, as: UTF8.self)
        let parts = text.utf8.split(separator: UInt8(ascii: " "), maxSplits: 2)
        guard parts.count == 3, let status = Int(String(parts[1]) ?? ""), let end = find([13, 10, 13, 10], in: bytes) else {
            throw AdminClientError("\(path): the answer is not one of a gateway")
        }
        return Answer(status: status, body: String(decoding: bytes[(end + 4)...], as: UTF8.self))
    }

    fileprivate static func find(_ pattern: [UInt8], in bytes: [UInt8]) -> Int? {
        guard bytes.count >= pattern.count else { return nil }
        return (0...(bytes.count - pattern.count)).first { bytes[$0..<($0 + pattern.count)].elementsEqual(pattern) }
    }

    /// One call over a connected socket.
    private final class AdminCall: Channel {
        private unowned let reactor: Reactor
        private let transport: SocketTransport
        private let pool = SlabPool(keptBytes: 64 * 1024)
        private var input: ReadBuffer
        private var output: OutputBuffer
        private var timer: CallTimer?
        /// Takes bytes as they come; true when it has taken them.
        private let take: (([UInt8]) -> Bool)?
        var answer: [UInt8] = []
        var failure: String?

        init(_ socket: Int32, _ reactor: Reactor, _ request: String, _ seconds: UInt64?, _ take: (([UInt8]) -> Bool)?) {
            self.reactor = reactor
            self.take = take
            transport = SocketTransport(fd: socket, reactor: reactor)
            input = ReadBuffer(pool: pool)
            output = OutputBuffer(pool: pool)
            super.init(fd: socket)
            let bytes = Array(request.utf8)
            output.append(copying: bytes.span)
            guard let seconds else { return }
            let timer = CallTimer(self)
            self.timer = timer
            reactor.schedule(timer, after: seconds * 1000)
        }

        override func ready(_ events: ReadyEvents) {
            while !output.isEmpty {
                guard case .moved = transport.send(&output) else { break }
            }
            receive()
        }

        private func receive() {
            while true {
                switch transport.receive(into: &input) {
                case .moved:
                    for index in 0..<input.count { answer.append(input.bytes[index]) }
                    input.consume(input.count)
                    if let take, take(answer) { answer = [] }
                    if answer.count > AdminClient.limit { return end("the answer is too large") }
                case .wouldBlock: return
                case .endOfStream: return end(nil)
                case .failed: return end("the gateway closed the connection")
                }
            }
        }

        func end(_ failure: String?) {
            self.failure = failure
            if let timer { reactor.cancel(timer) }
            timer = nil
            reactor.close(self)
            reactor.stop()
        }
    }

    private final class CallTimer: Timer {
        private unowned let call: AdminCall
        init(_ call: AdminCall) { self.call = call }
        override func fire() { call.end("no answer in time") }
    }
}
