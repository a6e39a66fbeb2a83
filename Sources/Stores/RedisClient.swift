public import Buffers
public import KeyValue
public import Reactor
import TLS

/// How names become addresses. Calls back on the reactor's thread; with nothing when there is none.
public typealias AddressLookup = (String, @escaping ([IPAddress]) -> Void) -> Void

/// A worker's way to one Redis: a single connection on which requests follow each other without waiting for answers.
///
/// It is made when it is first needed and made again when it is lost. While there is none, and the last attempt was a
/// moment ago, requests fail at once: a Redis that is gone must not hold anybody up.
public final class RedisClient {
    /// Requests and their bytes that wait for answers; further ones fail.
    public static let mostWaiting = 4_096, mostWaitingBytes = 64 << 20
    /// Milliseconds between attempts to connect: the first after a failure, and at most.
    static let backoff: (first: UInt64, most: UInt64) = (50, 5_000)

    private enum State {
        case away
        case resolving
        case connecting
        /// The greeting's answers are awaited, so many of them.
        case greeting(Int)
        case open
    }

    private struct Waiting {
        /// Answers that belong to it.
        let count: Int
        let deadline: UInt64
        let answer: (Result<[RESPValue], StoreFailure>) -> Void
    }

    public let settings: RedisSettings
    private let reactor: Reactor
    private let pool: SlabPool
    private let lookup: AddressLookup
    private var context: ClientContext?
    private var state = State.away
    private var link: RedisLink?
    /// In the order in which their answers come.
    private var waiting: [Waiting] = []
    private var collected: [RESPValue] = []
    /// Commands asked for before there is a connection.
    private var unsent: [UInt8] = []
    private let timer = ClientTimer()
    private var attemptDeadline: UInt64 = 0
    private var failures: UInt64 = 0
    private var mayConnectAt: UInt64 = 0
    private var lastReason = ""

    /// Connections that came about, and attempts or connections that failed.
    private var connects = 0
    private var losses = 0
    public var isConnected: Bool { if case .open = state { true } else { false } }

    public init(_ settings: RedisSettings, reactor: Reactor, pool: SlabPool, lookup: @escaping AddressLookup) throws(StoreFailure) {
        self.settings = settings
        self.reactor = reactor
        self.pool = pool
        self.lookup = lookup
        if let options = settings.tls {
            do throws(TLSConfigurationError) {
                context = try ClientContext(options)
            } catch {
                throw StoreFailure(.refused, "\(error)")
            }
        }
        timer.client = self
    }

    deinit {
        link?.close()
        if timer.isScheduled { reactor.cancel(timer) }
    }

    /// What happened since it was asked last.
    public func takeCounts() -> (connects: Int, losses: Int) {
        defer { (connects, losses) = (0, 0) }
        return (connects, losses)
    }

    // MARK: Asking

    /// Sends commands in one go; their answers come together.
    func ask(_ commands: [RESPCommand], _ answer: @escaping (Result<[RESPValue], StoreFailure>) -> Void) {
        if case .away = state {
            guard reactor.now >= mayConnectAt else { return answer(.failure(unreachable)) }
            connect()
            // The attempt may have failed at once.
            if case .away = state { return answer(.failure(unreachable)) }
        }
        let backlog = (link?.backlog ?? 0) + unsent.count
        guard waiting.count < Self.mostWaiting, backlog < Self.mostWaitingBytes else {
            return answer(.failure(StoreFailure(.busy, "\(waiting.count) requests wait for Redis already")))
        }
        var bytes: [UInt8] = []
        for command in commands { command.append(to: &bytes) }
        waiting.append(Waiting(count: commands.count, deadline: reactor.now + settings.timeout, answer: answer))
        if isConnected { link?.send(bytes) } else { unsent += bytes }
        watch()
    }

    private var unreachable: StoreFailure {
        StoreFailure(.unreachable, "Redis at \(settings.name) cannot be reached: \(lastReason)")
    }

    // MARK: Connecting

    private func connect() {
        attemptDeadline = reactor.now + settings.timeout
        watch()
        if let path = settings.path {
            do throws(SystemError) {
                return try begin(Connecting.startLocal(path, reactor: reactor), inProgress: false)
            } catch {
                return lost("\(error)")
            }
        }
        if let address = IPAddress(settings.host) { return connect(to: address) }
        state = .resolving
        lookup(settings.host) { [weak self] addresses in
            guard let self, case .resolving = self.state else { return }
            guard let first = addresses.first else { return self.lost("the name does not resolve") }
            self.connect(to: first)
        }
    }

    private func connect(to address: IPAddress) {
        do throws(SystemError) {
            let (fd, inProgress) = try Connecting.start(address, port: settings.port, reactor: reactor)
            try begin(fd, inProgress: inProgress)
        } catch {
            lost("\(error)")
        }
    }

    private func begin(_ fd: Int32, inProgress: Bool) throws(SystemError) {
        let link = RedisLink(fd: fd, tls: context, serverName: settings.host, reactor: reactor, pool: pool)
        link.client = self
        self.link = link
        state = .connecting
        try reactor.add(link)
        if !inProgress { link.connected() }
    }

    /// The connection is there.
    func opened() {
        let greeting = settings.greeting
        guard !greeting.isEmpty else { return greeted() }
        state = .greeting(greeting.count)
        var bytes: [UInt8] = []
        for command in greeting { command.append(to: &bytes) }
        link?.send(bytes)
    }

    private func greeted() {
        state = .open
        failures = 0
        attemptDeadline = 0
        connects += 1
        if !unsent.isEmpty { link?.send(unsent) }
        unsent = []
    }

    // MARK: Answers

    func received(_ value: RESPValue) {
        if case .greeting(let left) = state {
            if case .error(let text) = value { return give(up: "it refuses: \(text)") }
            if left == 1 { greeted() } else { state = .greeting(left - 1) }
            return
        }
        guard let first = waiting.first else { return give(up: "it answered what nobody asked") }
        collected.append(value)
        guard collected.count == first.count else { return }
        let values = collected
        collected = []
        waiting.removeFirst()
        first.answer(.success(values))
    }

    private func give(up reason: String) {
        link?.close()
        lost(reason)
    }

    /// The connection is gone, or did not come about.
    func lost(_ reason: String) {
        lastReason = reason
        losses += 1
        link?.close()
        link = nil
        state = .away
        attemptDeadline = 0
        collected = []
        unsent = []
        mayConnectAt = reactor.now + min(Self.backoff.first << min(failures, 10), Self.backoff.most)
        failures += 1
        let left = waiting
        waiting = []
        let failure = unreachable
        for one in left { one.answer(.failure(failure)) }
    }

    // MARK: Time

    /// One timer for the attempt and for the oldest request.
    private func watch() {
        let next = attemptDeadline != 0 ? attemptDeadline : waiting.first?.deadline ?? 0
        guard next != 0, !timer.isScheduled else { return }
        reactor.schedule(timer, after: next > reactor.now ? next - reactor.now : 0)
    }

    fileprivate func timeCame() {
        let now = reactor.now
        if attemptDeadline != 0, attemptDeadline <= now { return give(up: "no connection within \(settings.timeout) ms") }
        if attemptDeadline == 0, let first = waiting.first, first.deadline <= now { return late() }
        watch()
    }

    /// The oldest request got no answer. Those behind it would get its answer: the connection has to end.
    private func late() {
        let first = waiting.removeFirst()
        give(up: "no answer within \(settings.timeout) ms")
        first.answer(.failure(StoreFailure(.timeout, "Redis at \(settings.name) did not answer within \(settings.timeout) ms")))
    }
}

private final class ClientTimer: Timer {
    weak var client: RedisClient?
    override func fire() { client?.timeCame() }
}
