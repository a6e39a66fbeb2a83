import Buffers
import HTTP
import HTTP1
import Reactor
import Rules
import Telemetry
import Upstream

/// The sending half of an HTTP/1.1 connection.
extension HTTP1Connection {
    func writeInterim(_ status: Int) {
        ResponseWriter.writeInterim(status: status, to: &output)
        flushSoon()
    }

    /// An interim response of the origin, with its fields (RFC 8297); HTTP/1.0 knows none (RFC 9110 section 15.2).
    func passInterim() {
        guard let runner, !headSent, runner.request.version == .http11 else { return }
        ResponseWriter.writeInterim(runner.response, to: &output)
        flushSoon()
    }

    func writeHead() {
        guard let runner, !headSent else { return }
        headSent = true
        if reading == .body {
            // The request is not fully read: after this response the connection cannot be trusted.
            // It can where the origin goes on taking it. One that refuses what is still to come does not, and a client that awaits 100 may
            // or may not send it (RFC 9110 section 10.1.1).
            persistent = persistent && runner.originStream != nil && !awaitsContinue && runner.response.status < 400
        }
        persistent = persistent && worker.keepsConnections
        let plan = HTTP1Connection.write(
            &runner.response, to: &output, version: runner.request.version, hasBody: runner.responseHasBody, persistent: persistent)
        chunked = plan.chunked
        persistent = plan.persistent
        sent += plan.bytes
        flushSoon()
    }

    /// Decides how the body's end will be known, and writes the head.
    private static func write(
        _ head: inout Head, to output: inout OutputBuffer, version: HTTPVersion, hasBody: Bool, persistent: Bool
    ) -> (bytes: Int, chunked: Bool, persistent: Bool) {
        let before = output.byteCount
        var chunked = false
        var persistent = persistent
        switch head.body {
        case .unknown, .untilClose:
            chunked = version == .http11 && hasBody
            if !chunked && hasBody { persistent = false }
            head.body = chunked ? .unknown : (hasBody ? .untilClose : .none)
        case .none, .known:
            break
        }
        let connection: ConnectionOption = head.status == 101 ? .upgrade : persistent ? .keepAlive : .close
        ResponseWriter.write(head, to: &output, connection: connection, clientVersion: version)
        return (output.byteCount - before, chunked, persistent)
    }

    /// Bytes that may wait to be sent.
    private var outputRoom: Int {
        min(listener.limits.exchangeBuffer, worker.pool.heldAtMost, Appetite.room(taken: sent &- output.byteCount))
    }

    /// Moves body bytes into the output as far as it has room.
    func moveBody() {
        guard let runner, headSent, !responseQueued else { return }
        let chunked = chunked
        let limit = outputRoom
        let frames = runner.frames
        var (bytes, isEmpty) = runner.withOutgoing { HTTP1Connection.move(&$0, to: &output, limit: limit, chunked: chunked, frames) }
        let piped = pipedBytes
        if let frames, frames.mayEnd {
            let goingAway = WebSocketFrames.goingAway
            output.append(copying: goingAway.span)
            responseQueued = true
        } else if isEmpty, runner.outgoingEnded, piped == 0 {
            if chunked { bytes += HTTP1Connection.endChunks(runner.responseTrailers, &output) }
            responseQueued = true
        }
        sent += bytes
        runner.clientBacklog = output.byteCount
        if bytes > 0 || responseQueued || piped > 0 && canWrite { flushSoon() }
        if !responseQueued { startSplicing(runner) }
    }

    /// How many bytes that are, framing included, and whether nothing is left.
    private static func move(
        _ body: inout Chain, to output: inout OutputBuffer, limit: Int, chunked: Bool, _ frames: TunnelFrames?
    ) -> (bytes: Int, isEmpty: Bool) {
        let before = output.byteCount
        if let frames, before < limit { frames.pass(&body) }
        while !body.isEmpty, output.byteCount < limit {
            if chunked { BodyWriter.beginChunk(body.byteCount, to: &output) }
            output.append(contentsOf: &body)
            if chunked { BodyWriter.endChunk(to: &output) }
        }
        return (output.byteCount - before, body.isEmpty)
    }

    private static func endChunks(_ trailers: Trailers?, _ output: inout OutputBuffer) -> Int {
        let before = output.byteCount
        if let trailers { BodyWriter.endBody(trailers: trailers.head, to: &output) } else { BodyWriter.endBody(to: &output) }
        return output.byteCount - before
    }

    func flushSoon() {
        guard !flushPending else { return }
        flushPending = true
        if isBulky { worker.afterOthers(self) } else { worker.later(self) }
    }

    /// Sends what is queued; called at the end of the turn.
    func flush() {
        while canWrite, !output.isEmpty, fd >= 0 {
            switch pipedBytes > 0 ? transport.sendAhead(&output) : endsHere ? transport.sendLast(&output) : transport.send(&output) {
            case .moved(_, let drained):
                lastActivity = worker.now
                if drained { canWrite = false }
            case .wouldBlock:
                canWrite = false
            case .endOfStream, .failed:
                clientGone()
                return
            }
        }
        flushPipe()
        guard fd >= 0 else { return }
        if sent > SendAhead.proof { allowMore() }
        noteStall()
        afterFlush()
    }

    /// With what is queued the connection ends as well (`finishIfComplete`).
    private var endsHere: Bool { responseQueued && runner != nil && reading != .tunnel && (!persistent || reading == .body) }

    private func noteStall() {
        guard sending.note(waiting: !output.isEmpty || pipedBytes > 0, worker.now, fd) else { return }
        let limit = UInt64(listener.limits.writeStall)
        if timer.deadline > worker.now + limit { worker.schedule(timer, after: limit) }
    }

    private func afterFlush() {
        runner?.clientBacklog = output.byteCount
        if output.byteCount < outputRoom / 2 || output.isEmpty, let runner, headSent, !responseQueued {
            moveBody()
            runner.clientDrained()
        }
        if output.isEmpty { finishIfComplete() }
    }

    /// Ends the exchange when the response is sent and the request is read.
    func finishIfComplete() {
        guard fd >= 0, output.isEmpty, responseQueued, let runner else {
            if fd >= 0, output.isEmpty, reading == .lingering, runner == nil, endOfInput { close() }
            return
        }
        guard reading != .tunnel else { return finishTunnel(runner) }
        let unread = reading == .body
        self.runner = nil
        responseQueued = false
        runner.finish()
        if persistent && !unread {
            nextRequest()
        } else {
            closeAfterResponse()
        }
    }

    private func nextRequest() {
        reading = .head
        lastActivity = worker.now
        if sendAhead == .far { allow(.usual) }
        if worker.closesIdleConnections {
            close()
            return
        }
        if input.isEmpty {
            input.releaseIfEmpty()
            output.releaseIfEmpty()
        }
        worker.schedule(timer, after: UInt64(listener.limits.keepAlive))
        pump()
    }

    /// Says that nothing more comes and waits shortly for the client to close, so that a reset does not
    /// destroy the answer on its way (RFC 9112 section 9.6).
    func closeAfterResponse() {
        if endOfInput || reading == .complete && input.isEmpty && canReadNothingMore {
            close()
            return
        }
        reading = .lingering
        bytesAtCheck = bytesReceived
        transport.finishSending()
        lastActivity = worker.now
        worker.schedule(timer, after: 2000)
        pump()
    }

    private var canReadNothingMore: Bool { !persistent && endOfInput }

    // MARK: Time limits

    func timeIsUp() {
        guard fd >= 0 else { return }
        let limits = listener.limits
        if !output.isEmpty || pipedBytes > 0 {
            guard sending.isStalled(worker.now, limits, fd) else {
                return worker.schedule(timer, after: max(1, remaining(UInt64(limits.writeStall), since: sending.isWaiting ? sending.since : worker.now)))
            }
            worker.metrics.add(.timeoutsWriteStall)
            // Closed in order, the kernel would go on for hours with what it holds.
            return clientGone(reset: true)
        }
        switch reading {
        case .head: headTimeIsUp(limits.headTimeout, limits.keepAlive)
        case .body: bodyTimeIsUp(limits.bodyRateBytes, limits.bodyRateTime)
        case .lingering: close()
        case .tunnel: tunnelTimeIsUp(limits)
        case .complete: worker.schedule(timer, after: UInt64(limits.writeStall))
        }
    }

    private func headTimeIsUp(_ headTimeout: Int, _ keepAlive: Int) {
        if headStarted == 0 {
            let left = requests == 0 ? 0 : remaining(UInt64(keepAlive), since: lastActivity)
            if left > 0 { return worker.schedule(timer, after: left) }
            worker.metrics.add(.timeoutsIdle)
            return close()
        }
        let left = remaining(UInt64(headTimeout), since: headStarted)
        if left > 0 { return worker.schedule(timer, after: left) }
        worker.metrics.add(.timeoutsHead)
        persistent = false
        reading = .lingering
        bytesAtCheck = bytesReceived
        runner?.refuse(.requestTimeout, note: "the request head took too long")
        worker.schedule(timer, after: 2000)
    }

    private func bodyTimeIsUp(_ bytes: Int, _ time: Int) {
        let progress = bytesReceived - bytesAtCheck
        bytesAtCheck = bytesReceived
        if hasGivenUpBody(bytes) {
            worker.metrics.add(.timeoutsBody)
            return clientGone()
        }
        let paused = (runner?.requestBacklog ?? 0) > 0 || awaitsContinue
        if paused || progress >= bytes { return worker.schedule(timer, after: UInt64(time)) }
        worker.metrics.add(.timeoutsBody)
        persistent = false
        reading = .lingering
        runner?.clientFailed(.requestTimeout, note: "the request body made no progress")
        worker.schedule(timer, after: 2000)
    }
}
