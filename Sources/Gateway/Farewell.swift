import Buffers
import HTTP
import HTTP1
import HTTP2
import Reactor
import Telemetry

/// What an origin sends through a WebSocket, watched for the places where a frame ends: a connection that has to end says so
/// with a close frame, and not in the middle of another.
final class TunnelFrames {
    private var frames = WebSocketFrames()
    /// The tunnel ends where the next frame does.
    var isLeaving = false

    var mayEnd: Bool { isLeaving && frames.isAtBoundary }

    /// Looks at what goes to the client. What comes behind the place where the tunnel ends is dropped.
    func pass(_ chain: inout Chain) {
        var kept = Chain()
        while var slice = chain.popFirst() {
            let count = frames.pass(slice.bytes, stopping: isLeaving)
            if count == slice.count { kept.append(slice) } else { kept.append(slice.split(prefix: count)) }
            if mayEnd { break }
        }
        chain.removeAll()
        chain.append(contentsOf: &kept)
    }
}

extension ExchangeRunner {
    /// Begins to watch a tunnel whose end can be said politely.
    func watchTunnel() { frames = ExchangeRunner.isWebSocket(response) ? TunnelFrames() : nil }

    private static func isWebSocket(_ head: borrowing Head) -> Bool {
        guard let upgrade = head.value(of: .upgrade) else { return false }
        return head.text(upgrade).lowercased() == "websocket"
    }

    /// It began under a configuration older than this one.
    func isOlder(than generation: UInt64) -> Bool { (self.generation?.number ?? generation) < generation }
}

extension HTTP1Connection {
    /// The time for what runs here is over: a WebSocket hears it by a close frame, anything else is cut so that nobody takes
    /// half of an answer for a whole one.
    func farewell(olderThan generation: UInt64) {
        guard let runner, reading != .head || headStarted != 0 else { return generation == .max ? close() : () }
        guard runner.isOlder(than: generation) else { return }
        worker.metrics.add(.drainsCut)
        guard reading == .tunnel, let frames = runner.frames else { return close(reset: true) }
        frames.isLeaving = true
        moveBody()
        if fd >= 0 { flush() }
    }
}

extension HTTP2Connection {
    /// The same for its streams; the client is told to send no more here.
    func farewell(olderThan generation: UInt64) {
        var cut = 0
        session.forEachStream { stream in
            guard let adapter = (stream as? HTTP2RequestStream)?.adapter, adapter.runner?.isOlder(than: generation) == true else { return }
            cut += 1
            adapter.farewell()
        }
        guard fd >= 0, cut > 0 || generation == .max else { return }
        worker.metrics.add(.drainsCut, cut)
        if generation == .max { session.finishShutdown() } else { drain() }
        flushSoon()
    }
}

/// The end of a worker's life, and of a configuration's.
extension Worker {
    /// Milliseconds for goodbyes to be sent and heard when the time to drain is over.
    static let farewellTime: UInt64 = 1000

    /// Stops accepting, lets running exchanges finish, closes what is idle.
    /// - Parameter idle: milliseconds in which an idle connection may send one more request; its answer says that it is the last.
    func drain(milliseconds: UInt64, idle: UInt64) {
        guard !isDraining else { return }
        stopAccepting()
        if generation?.tracer != nil { spans.hurry() }
        idleMayLinger = idle > 0
        if idle == 0 { closeIdle() } else { schedule(IdleTimer(self), after: idle) }
        for connection in connectionsNow where idle > 0 && connection is HTTP2Connection { (connection as? any Drainable)?.drain() }
        if nothingRuns { return finishDraining() }
        schedule(DrainTimer(self), after: milliseconds)
    }

    private var nothingRuns: Bool { connectionCount == 0 && !schedules.isRunning }

    /// The last connection was closed, or the last run of a schedule is over.
    func leaveIfDone() { if nothingRuns { finishDraining() } }

    fileprivate func closeIdle() {
        idleMayLinger = false
        for connection in connectionsNow { (connection as? any Drainable)?.drain() }
    }

    fileprivate func drainTimeIsUp() {
        sayFarewell(olderThan: .max)
        if nothingRuns { return }
        schedule(GoodbyeTimer(self), after: Worker.farewellTime)
    }

    /// Ends what began under configurations before this one; `.max`: everything.
    fileprivate func sayFarewell(olderThan generation: UInt64) {
        for connection in connectionsNow { (connection as? any Drainable)?.farewell(olderThan: generation) }
    }

    /// What began under an older configuration may go on for as long as the new one says (`drain: {reload:}`).
    func limitOlderExchanges(_ generation: UInt64, milliseconds: Int?) {
        guard let milliseconds else { return }
        schedule(ReloadDrainTimer(self, generation), after: UInt64(milliseconds))
    }
}

private final class IdleTimer: Timer {
    private unowned let worker: Worker
    init(_ worker: Worker) { self.worker = worker }
    override func fire() { worker.closeIdle() }
}

private final class DrainTimer: Timer {
    private unowned let worker: Worker
    init(_ worker: Worker) { self.worker = worker }
    override func fire() { worker.drainTimeIsUp() }
}

private final class GoodbyeTimer: Timer {
    private unowned let worker: Worker
    init(_ worker: Worker) { self.worker = worker }
    override func fire() { worker.finishDraining() }
}

private final class ReloadDrainTimer: Timer {
    private unowned let worker: Worker
    private let generation: UInt64
    init(_ worker: Worker, _ generation: UInt64) {
        self.worker = worker
        self.generation = generation
    }
    override func fire() { worker.sayFarewell(olderThan: generation) }
}
