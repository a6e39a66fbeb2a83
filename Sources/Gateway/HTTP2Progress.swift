import Buffers
import HTTP
import HTTP2
import Reactor
import Rules
import Telemetry

// Time limits of HTTP/2 connections. Peers are judged by what they move, not by how long they take: a stream that sends or
// takes too little in its time ends, and a connection on which nothing is served ends after `keep_alive`, whatever PINGs
// or WINDOW_UPDATEs arrive meanwhile.

extension HTTP2Connection {
    /// Looks at what was received: is there work, is a head begun?
    func noteProgress() {
        if session.isInsideHead { if headSince == 0 { headSince = worker.now } } else { headSince = 0 }
        guard session.activeStreams > 0 || headSince != 0 else { return }
        lastWork = worker.now
        guard !watching else { return }
        watching = true
        worker.schedule(timer, after: pace)
    }

    /// The client does not take all there is.
    func watchSending() {
        let limit = UInt64(listener.limits.writeStall)
        if timer.deadline > worker.now + limit { worker.schedule(timer, after: limit) }
    }

    /// How often streams are looked at, and soon enough afterwards for a connection that idles.
    private var pace: UInt64 {
        let limits = listener.limits
        return UInt64(max(10, min(limits.headTimeout, limits.bodyRateTime, limits.writeStall, limits.keepAlive)))
    }

    func timeIsUp() {
        guard fd >= 0 else { return }
        let limits = listener.limits
        if sending.isStalled(worker.now, limits, fd) {
            worker.metrics.add(.timeoutsWriteStall)
            // Closed in order, the kernel would go on for hours with what it holds.
            return close(reset: true)
        }
        if headSince != 0, worker.now - headSince >= UInt64(limits.headTimeout) {
            worker.metrics.add(.timeoutsHead)
            return end()
        }
        session.forEachStream { ($0 as? HTTP2RequestStream)?.adapter.checkProgress(worker.now, limits) }
        guard fd >= 0 else { return }
        if session.activeStreams > 0 {
            lastWork = worker.now
            return worker.schedule(timer, after: pace)
        }
        watching = headSince != 0
        let due = lastWork + UInt64(limits.keepAlive)
        if due > worker.now {
            let next = watching ? pace : due - worker.now
            return worker.schedule(timer, after: sending.isWaiting ? min(next, UInt64(limits.writeStall)) : next)
        }
        worker.metrics.add(.timeoutsIdle)
        end()
    }

    /// Says GOAWAY and closes when it is sent, or after a while when it is not taken.
    private func end() {
        session.finishShutdown()
        closing = true
        watching = true
        worker.schedule(timer, after: UInt64(listener.limits.writeStall))
        flushSoon()
    }
}

/// What a stream moved, at the last look.
struct StreamProgress {
    private var bodySince: UInt64 = 0
    private var received = 0
    private var sendSince: UInt64 = 0
    private var sent = 0

    /// True while the request body comes fast enough.
    /// - Parameter awaited: the client may send and should.
    mutating func bodyGoesOn(_ now: UInt64, _ limits: Limits, awaited: Bool, received count: Int) -> Bool {
        guard awaited, bodySince != 0 else {
            bodySince = now
            received = count
            return true
        }
        guard now - bodySince >= UInt64(limits.bodyRateTime) else { return true }
        defer {
            bodySince = now
            received = count
        }
        return count - received >= limits.bodyRateBytes
    }

    /// True while the client takes its response fast enough.
    /// - Parameter waiting: there are bytes that it could take.
    mutating func sendingGoesOn(_ now: UInt64, _ limits: Limits, waiting: Bool, sent count: Int) -> Bool {
        guard waiting, sendSince != 0 else {
            sendSince = now
            sent = count
            return true
        }
        let elapsed = now - sendSince
        guard elapsed >= UInt64(limits.writeStall) else { return true }
        defer {
            sendSince = now
            sent = count
        }
        return count - sent >= max(1, limits.writeRate * Int(elapsed) / 1000)
    }
}
