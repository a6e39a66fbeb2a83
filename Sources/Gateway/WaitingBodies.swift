import Buffers
import Codings
import HTTP
import Hooks
import Reactor
import Rules
import Telemetry
import Upstream

/// A body that a hook gave as a whole and whose taker has not taken all of it.
class WaitingBody {
    let tenant: String
    /// Nanoseconds on the loop's clock.
    let since: UInt64

    init(tenant: String, since: UInt64) {
        self.tenant = tenant
        self.since = since
    }

    /// What of it waits.
    var bytes: Int { 0 }
    /// Its exchange ends: others need the room.
    func cut() {}
}

/// All of a worker. V8 counts such a body until the hook has given it away; from then on it would be nobody's, and a client that reads
/// slowly keeps it for as long as it likes.
struct WaitingBodies {
    /// What is no larger is not more than may wait of any answer, and is not counted.
    static let free = 64 << 10
    /// Nanoseconds that a body has to be taken before it may have to make room.
    static let grace: UInt64 = 1_000_000_000

    /// The oldest first.
    private var all: [WaitingBody] = []

    enum Verdict {
        case room
        /// These have to go first.
        case after([WaitingBody])
        case none
    }

    var bytes: Int { all.reduce(0) { $0 + $1.bytes } }
    var count: Int { all.count }

    mutating func add(_ body: WaitingBody) { all.append(body) }
    mutating func remove(_ body: WaitingBody) { all.removeAll { $0 === body } }

    /// Whether a body of `count` bytes may wait, too: within what one tenant may have waiting and within what all may. One that is alone may,
    /// whatever its size. Room is made by what waits for longest: of the tenant itself, then of the one that has most.
    func verdict(_ count: Int, of tenant: String, atMost most: Int, all limit: Int, now: UInt64) -> Verdict {
        var held: [String: Int] = [:]
        for body in all { held[body.tenant, default: 0] += body.bytes }
        let mine = held[tenant] ?? 0, total = held.values.reduce(0, +)
        var going: [WaitingBody] = []
        let freed = mine > 0 ? oldest(of: tenant, mine + count - most, now, &going) : 0
        guard let freed else { return .none }
        if total > 0, total - freed + count > limit {
            let largest = held.max { ($0.value, $0.key) < ($1.value, $1.key) }?.key ?? tenant
            guard oldest(of: largest, total - freed + count - limit, now, &going) != nil else { return .none }
        }
        return going.isEmpty ? .room : .after(going)
    }

    /// Adds what frees `wanted` bytes; what it frees, nil when there is not as much that waits for longer than `grace`.
    private func oldest(of tenant: String, _ wanted: Int, _ now: UInt64, _ going: inout [WaitingBody]) -> Int? {
        var freed = 0
        for body in all where freed < wanted && body.tenant == tenant && now &- body.since > Self.grace {
            let bytes = body.bytes
            guard bytes > Self.free, !going.contains(where: { $0 === body }) else { continue }
            going.append(body)
            freed += bytes
        }
        return freed >= wanted ? freed : nil
    }
}

/// That of an exchange.
final class ExchangeBodyWaiting: WaitingBody {
    private let runner: ExchangeRunner
    private let side: HookSide

    init(_ runner: ExchangeRunner, _ side: HookSide, tenant: String) {
        self.runner = runner
        self.side = side
        super.init(tenant: tenant, since: runner.worker.nowNanoseconds)
    }

    override var bytes: Int {
        guard side == .response else { return runner.requestBody.byteCount }
        return runner.responseBody.byteCount + (runner.pipeline?.output.byteCount ?? 0) + (runner.stream?.queuedBytes ?? 0)
    }

    override func cut() {
        runner.worker.metrics.add(.hookBodiesCut)
        let note = "the body that a hook made waited for longest, and whole bodies of its tenant need the room (limits.memory)"
        runner.fail(GatewayError(.hookMemory, in: side == .request ? .requestHook : .responseHook, note: note))
    }
}

extension ExchangeRunner {
    /// Whether a body of a result may wait to be taken; it is counted from now on where it is large.
    func admits(_ body: HookBody, _ side: HookSide, of bound: BoundHook) -> Bool {
        guard case .bytes(let bytes) = body, bytes.count > WaitingBodies.free else { return true }
        forgetWaitingBody()
        return makesRoom(for: bytes.count, side, of: bound)
    }

    /// The same for what a WebSocket's hook has sent and its client not taken.
    /// - Parameter before: bytes that waited before the last messages came.
    func admitsMessages(_ before: Int, of bound: BoundHook) -> Bool {
        if before <= WaitingBodies.free { forgetWaitingBody() }
        guard responseBody.byteCount > WaitingBodies.free else { return true }
        // What it has counts already, once it is counted.
        return makesRoom(for: hooks.waiting == nil ? responseBody.byteCount : 0, .response, of: bound)
    }

    private func makesRoom(for count: Int, _ side: HookSide, of bound: BoundHook) -> Bool {
        guard let account = worker.hooks else { return true }
        let key = bound.shared.key
        guard account.makesRoom(for: count, of: key) else { return false }
        guard hooks.waiting == nil, station != .idle else { return true }
        let body = ExchangeBodyWaiting(self, side, tenant: key.placement.cordon)
        account.waiting.add(body)
        hooks.waiting = body
        return true
    }

    /// The exchange is over, or has another body.
    func forgetWaitingBody() {
        guard let body = hooks.waiting.take() else { return }
        worker.hooks?.waiting.remove(body)
    }

    /// A result as it can be put into effect: one whose body may not wait is a failure.
    func admitted(_ outcome: HookOutcome, _ bound: BoundHook) -> HookOutcome {
        if case .proceed(.unchanged) = outcome { return outcome }
        let isWelcome = switch outcome {
        case .proceed(let body): admits(body, station == .responseRules ? .response : .request, of: bound)
        case .respond(let body): admits(body, .response, of: bound)
        case .deny, .failed: true
        }
        guard !isWelcome else { return outcome }
        hooks.isHalfDone = true
        return .failed(HookFailure(
            .memory, function: bound.shared.key.name, message: "whole bodies of more than limits.memory wait for those who are to take them"))
    }
}
