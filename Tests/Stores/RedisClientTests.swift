import Buffers
import KeyValue
import Reactor
import Testing

@testable import Stores

/// A Redis that says what a test wants: one listening socket, every connection's bytes, and answers by hand.
final class FakeRedis {
    final class Peer: Channel {
        unowned let owner: FakeRedis
        let transport: SocketTransport
        var input: ReadBuffer
        var output: OutputBuffer
        var received = ""
        init(_ fd: Int32, _ owner: FakeRedis) {
            self.owner = owner
            transport = SocketTransport(fd: fd, reactor: owner.reactor)
            input = ReadBuffer(pool: owner.pool)
            output = OutputBuffer(pool: owner.pool)
            super.init(fd: fd)
        }
        override func ready(_ events: ReadyEvents) {
            while case .moved = transport.receive(into: &input) {
                received += input.bytes.text()
                input.consume(input.count)
            }
            owner.onBytes?(self)
        }
        func say(_ text: String) {
            output.append(copying: Array(text.utf8).span)
            _ = transport.send(&output)
        }
        func hangUp() { owner.reactor.close(self) }
    }

    final class Door: Channel {
        unowned let owner: FakeRedis
        init(_ fd: Int32, _ owner: FakeRedis) {
            self.owner = owner
            super.init(fd: fd)
        }
        override func ready(_ events: ReadyEvents) {
            while case .accepted(let fd, _, _) = Listening.accept(self.fd, reactor: owner.reactor) {
                let peer = Peer(fd, owner)
                try? owner.reactor.add(peer)
                owner.peers.append(peer)
            }
        }
    }

    let reactor: Reactor
    let pool = SlabPool()
    var peers: [Peer] = []
    var onBytes: ((Peer) -> Void)?
    let port: UInt16
    private var door: Door?

    init() throws {
        reactor = try Reactor()
        let opened = try ListeningSocket.openSingle(ConfigurationBundle.Listener(name: "redis", address: "127.0.0.1", port: 0))
        port = opened.port
        let door = Door(opened.socket, self)
        try reactor.addLevelTriggered(door)
        self.door = door
    }

    func client(_ change: (inout RedisSettings) -> Void = { _ in }) throws -> RedisClient {
        var settings = RedisSettings(host: "127.0.0.1", port: port)
        settings.timeout = 10_000
        change(&settings)
        return try RedisClient(settings, reactor: reactor, pool: pool) { _, use in use([]) }
    }

    func until(_ done: () -> Bool) { while !done() { reactor.turn(maximumWait: 50) } }
}

@Suite struct RedisClientTests {
    typealias Answer = Result<[RESPValue], StoreFailure>

    @Test func `requests go in one piece, and answers come back in order`() throws {
        let redis = try FakeRedis()
        let client = try redis.client { $0.password = "pw" }
        var answers: [Answer] = []
        for number in 1...3 { client.ask([RESPCommand("ECHO", Array("\(number)".utf8)), RESPCommand("PING")]) { answers.append($0) } }
        redis.until { redis.peers.first?.received.contains("AUTH") == true }
        #expect(redis.peers[0].received == "*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n", "nothing before the password was taken")
        redis.peers[0].say("+OK\r\n")
        redis.until { redis.peers[0].received.components(of: "PING") == 3 }
        redis.peers[0].say("$1\r\n1\r\n+PONG\r\n$1\r\n2\r\n+PO")
        redis.until { answers.count == 1 }
        redis.peers[0].say("NG\r\n:3\r\n-ERR x\r\n")
        redis.until { answers.count == 3 }
        #expect(try answers[2].get() == [.number(3), .error("ERR x")])
        #expect(redis.peers.count == 1 && client.isConnected)
    }

    @Test func `a connection that is lost fails what waits, and the next request makes a new one`() throws {
        let redis = try FakeRedis()
        let client = try redis.client()
        var answers: [Answer] = []
        client.ask([RESPCommand("PING")]) { answers.append($0) }
        redis.until { redis.peers.first?.received.isEmpty == false }
        redis.peers[0].hangUp()
        redis.until { answers.count == 1 }
        #expect(throws: StoreFailure.self) { try answers[0].get() }
        client.ask([RESPCommand("PING")]) { answers.append($0) }
        #expect(answers.count == 2, "a moment after a loss it fails at once")
        let failed = redis.reactor.now
        redis.until { redis.reactor.now > failed + RedisClient.backoff.first }
        client.ask([RESPCommand("PING")]) { answers.append($0) }
        redis.until { redis.peers.count == 2 && !redis.peers[1].received.isEmpty }
        redis.peers[1].say("+PONG\r\n")
        redis.until { answers.count == 3 }
        #expect(try answers[2].get() == [.text("PONG")])
        let counts = client.takeCounts()
        #expect(counts.connects == 2 && counts.losses == 1)
    }

    @Test func `a request without an answer is given up, and nobody gets its answer`() throws {
        let redis = try FakeRedis()
        let client = try redis.client { $0.timeout = 100 }
        var answers: [Answer] = []
        for _ in 0..<2 { client.ask([RESPCommand("GET", [107])]) { answers.append($0) } }
        redis.until { answers.count == 2 }
        let kinds = answers.map { answer -> StoreFailure.Kind in if case .failure(let failure) = answer { failure.kind } else { .broken } }
        #expect(kinds.contains(.timeout) && kinds.contains(.unreachable))
        #expect(!client.isConnected)
    }

    @Test(arguments: ["-WRONGPASS invalid username-password pair\r\n", "?\r\n", "$-7\r\n"])
    func `a Redis that refuses or speaks another language is told in words`(says: String) throws {
        let redis = try FakeRedis()
        redis.onBytes = { $0.say(says) }
        let client = try redis.client { $0.password = "super-secret" }
        var answers: [Answer] = []
        client.ask([RESPCommand("PING")]) { answers.append($0) }
        redis.until { answers.count == 1 }
        guard case .failure(let failure) = answers[0] else { Issue.record("\(answers)"); return }
        #expect(failure.kind == .unreachable && failure.message.contains("127.0.0.1:\(redis.port)") && !failure.message.contains("super-secret"))
    }

    @Test(arguments: [Int.max, Int.min, -2, -1, 0, 1_500])
    func `no number of a Redis ends the worker`(number: Int) throws {
        let redis = try FakeRedis()
        let client = try redis.client()
        var verdicts: [Result<RedisLimiter.Verdict, StoreFailure>] = []
        let limiter = RedisLimiter(client, prefix: "p:", rule: 1, count: 2, period: 1_000, burst: 0)
        limiter.charge([97]) { verdicts.append($0) }
        redis.until { redis.peers.first?.received.contains("EVAL") == true }
        redis.peers[0].say("$2\r\nab\r\n*4\r\n:0\r\n:\(number)\r\n:\(number)\r\n:\(number)\r\n")
        redis.until { verdicts.count == 1 }
        let verdict = try verdicts[0].get()
        #expect(!verdict.isAllowed && verdict.remaining == max(number, 0))
        #expect(verdict.reset == (number == .max ? 1_000 << 50 : UInt64(max(number, 0)) * 1_000) && verdict.retryAfter == verdict.reset)

        var pages: [StoreAnswer] = []
        RedisStore(client, prefix: "p:").perform(StoreRequest(.list, key: []), now: 100) { pages.append($0) }
        redis.until { redis.peers[0].received.contains("ZRANGEBYLEX") }
        redis.peers[0].say("*1\r\n$1\r\na\r\n")
        redis.until { redis.peers[0].received.contains("PTTL") }
        redis.peers[0].say("$-1\r\n:\(number)\r\n")
        redis.until { pages.count == 1 }
        guard case .page(let page) = pages[0] else {
            Issue.record("no page: \(pages[0])")
            return
        }
        // Seconds since 1970, rounded up; less than nothing: it has no end, or there is no such name.
        let ends: [Int: UInt64] = [.max: 9_223_372_036_854_876, 0: 100, 1_500: 102]
        #expect(page.names.map(\.expiration) == (number == -2 ? [] : [ends[number] ?? 0]))
    }

    @Test func `a flood of answers leaves the loop its turns`() throws {
        let redis = try FakeRedis()
        let client = try redis.client()
        let count = 4_000, one = "$400\r\n\(String(repeating: "x", count: 400))\r\n"
        var answers = 0, most = 0
        for _ in 0..<count { client.ask([RESPCommand("GET", [107])]) { _ in answers += 1 } }
        redis.until { redis.peers.first?.received.components(of: "GET") == count }
        redis.peers[0].say(String(repeating: one, count: count))
        while answers < count {
            let before = answers
            redis.reactor.turn(maximumWait: 50)
            _ = redis.peers[0].transport.send(&redis.peers[0].output)
            most = max(most, answers - before)
        }
        #expect(most <= (512 << 10) / one.utf8.count + 200, "half a MiB and what the last look brought")
    }

    @Test func `names that do not resolve fail at once`() throws {
        let redis = try FakeRedis()
        let client = try redis.client { $0.host = "redis.invalid" }
        var answer: Answer?
        client.ask([RESPCommand("PING")]) { answer = $0 }
        guard case .failure(let failure)? = answer else { Issue.record("\(String(describing: answer))"); return }
        #expect(failure.message.hasSuffix("the name does not resolve"))
    }
}

extension String {
    func components(of part: String) -> Int { self.split(separator: part, omittingEmptySubsequences: false).count - 1 }
}
