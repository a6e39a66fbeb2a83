import Buffers
import HTTP
import Hooks
import Telemetry
import Upstream

/// A hook call that the body of an exchange passes: it reads what arrives (`intake`), and may put its own in its place.
///
/// Stages of one side stand in a row. The first gets what the client (or the origin) sends, each next one what the one
/// before it makes, and the last one's output is the exchange's body. Without stages the body never leaves its chain.
final class BodyStage {
    let call: GatewayHookCall
    let side: HookSide
    /// Arrived, not given to the hook yet.
    var intake = Chain()
    var ended = false
    /// The hook waits for a chunk.
    var wanted = false
    /// The hook waits for all of it in one piece.
    var collects = false
    /// It got all of it so.
    var collected = false
    var giving = false
    /// What was given to the hook, in case it goes on unchanged after all. Shared slices, nothing is copied.
    var given = Chain()
    var keepsGiven = true
    /// The hook wants no more of it.
    var ignored = false
    /// What it holds is counted for its tenant, and as how much it was looked at last.
    var waiting: WaitingBody?
    var counted = 0
    /// The hook's result took the place of the body.
    var produces = false
    var producerDone = false
    var filling = false
    var madeSome = false

    init(_ call: GatewayHookCall, _ side: HookSide) {
        self.call = call
        self.side = side
    }

    /// Bytes that hold the sender back.
    var backlog: Int { collects || ignored ? 0 : intake.byteCount }
}

/// Bodies between the parties of an exchange and its hooks.
extension ExchangeRunner {
    // MARK: Stages

    private func stages(_ side: HookSide) -> [BodyStage] { side == .request ? requestStages : responseStages }

    private func setStages(_ side: HookSide, _ list: [BodyStage]) {
        if side == .request { requestStages = list } else { responseStages = list }
    }

    private func stage(of call: GatewayHookCall, _ side: HookSide) -> BodyStage? {
        stages(side).first { $0.call === call }
    }

    /// Puts a call behind what stands in the row: from now on the body goes to it.
    private func addStage(_ call: GatewayHookCall, _ side: HookSide) -> BodyStage {
        let stage = BodyStage(call, side)
        if side == .request {
            if requestStages.isEmpty { hooks.clientBodyEnded = requestBodyEnded }
            stage.intake.append(contentsOf: &requestBody)
            stage.ended = requestBodyEnded
            requestBodyEnded = false
            wantsRequestBody = true
        } else {
            stage.intake.append(contentsOf: &responseBody)
            stage.ended = responseBodyEnded
            responseBodyEnded = false
            if responseStages.isEmpty {
                responseIsTapped = true
                tappedBodyEnded = stage.ended
            }
        }
        setStages(side, stages(side) + [stage])
        return stage
    }

    /// The answer is local. What the client still sends is dropped, unless the call's own body may be made of it.
    func holdRequest(for call: GatewayHookCall) {
        dropStages(.request, except: call.isStreaming ? call : nil)
        let unread = station == .requestRules && !(requestBodyEnded && requestBody.isEmpty)
        if call.isStreaming, unread, stage(of: call, .request) == nil { _ = addStage(call, .request) }
    }

    /// Takes a stage out; what it made and what it did not read is dropped.
    private func drop(_ stage: BodyStage) {
        setStages(stage.side, stages(stage.side).filter { $0 !== stage })
        forgetWaiting(stage)
        guard stage.produces, stage.call !== hooks.call else { return }
        // Who has made all of its body may go on after the answer (`waitUntil`).
        if stage.producerDone { stage.call.madeItsBody() } else { stage.call.stopStreaming() }
    }

    /// Ends every stage of a side.
    func dropStages(_ side: HookSide, except kept: GatewayHookCall? = nil) {
        let list = stages(side)
        if list.isEmpty { return }
        for stage in list where stage.call !== kept { drop(stage) }
        if stages(side).isEmpty, side == .response { endTap() }
    }

    private func endTap() {
        responseIsTapped = false
        tappedBody.removeAll()
        tappedBacklog = 0
    }

    // MARK: What arrives

    /// Bytes of the client's body that hold the client back.
    var requestBacklog: Int { tunnelEnd?.clientBacklog ?? requestStages.first?.backlog ?? requestBody.byteCount }

    /// The client sent more of its body, or its end. True when a stage takes it.
    func stagesTakeRequest() -> Bool {
        guard let first = requestStages.first else { return false }
        if requestBodyEnded, !hooks.clientBodyEnded {
            hooks.clientBodyEnded = true
            requestBodyEnded = false
            first.ended = true
        }
        serve(first)
        return true
    }

    /// The origin sent more of its body, or its end. True when a stage takes it.
    func stagesTakeResponse() -> Bool {
        guard responseIsTapped, let first = responseStages.first else { return false }
        first.intake.append(contentsOf: &tappedBody)
        if tappedBodyEnded { first.ended = true }
        tappedBacklog = first.backlog
        serve(first)
        return true
    }

    // MARK: What a hook asks for

    /// The hook wants a body in one piece.
    func collectBody(_ call: GatewayHookCall, _ side: HookSide) {
        guard let stage = stageToRead(call, side) else { return call.bodyFailed(side, "there is no body to read any more") }
        stage.collects = true
        askSender(stage)
        serve(stage)
    }

    /// The hook wants the next chunk.
    func pullBody(_ call: GatewayHookCall, _ side: HookSide) {
        guard let stage = stageToRead(call, side) else { return call.bodyFailed(side, "there is no body to read any more") }
        stage.collectNoMore()
        stage.wanted = true
        serve(stage)
    }

    func cancelBody(_ call: GatewayHookCall, _ side: HookSide) {
        guard let stage = stage(of: call, side) else { return }
        stage.ignored = true
        stage.wanted = false
        stage.intake.removeAll()
        askSender(stage)
    }

    private func stageToRead(_ call: GatewayHookCall, _ side: HookSide) -> BodyStage? {
        if let found = stage(of: call, side) { return found }
        // After its result a call reads on only where it stands in the row already.
        guard hooks.call === call else { return nil }
        return addStage(call, side)
    }

    /// Gives the hook what it asked for, as far as it is there.
    private func serve(_ stage: BodyStage) {
        if stage.ignored {
            stage.intake.removeAll()
            return askSender(stage)
        }
        if stage.collects { return serveWhole(stage) }
        guard !stage.giving else { return }
        stage.giving = true
        defer { stage.giving = false }
        repeat {
            give(stage)
            askSender(stage)
            // What the sender had ready found this loop at work, and nobody comes back for it.
        } while stage.wanted && !stage.ignored && !stage.collects && (!stage.intake.isEmpty || stage.ended)
    }

    private func give(_ stage: BodyStage) {
        while stage.wanted {
            if let slice = stage.intake.popFirst() {
                stage.wanted = false
                keep(slice, stage)
                stage.call.bodyChunk(stage.side, slice)
                if stage.call.takesMore(stage.side) { stage.wanted = true }
            } else if stage.ended {
                stage.wanted = false
                stage.call.bodyEnded(stage.side)
            } else {
                break
            }
        }
    }

    /// The call begins anew: what it read is to be read again. False when that is gone.
    func rewindBodies(of call: GatewayHookCall) -> Bool {
        for side in [HookSide.request, .response] {
            guard let stage = stage(of: call, side) else { continue }
            guard stage.keepsGiven, !stage.ignored else { return false }
            stage.given.append(contentsOf: &stage.intake)
            stage.intake.append(contentsOf: &stage.given)
            (stage.wanted, stage.collects) = (false, false)
        }
        return true
    }

    private func serveWhole(_ stage: BodyStage) {
        guard mayHold(stage) else { return }
        if stage.intake.byteCount > worker.bufferedBodyLimit(self) {
            stage.collects = false
            stage.call.bodyFailed(stage.side, "the body is larger than the limit for hooks (limits.buffered_body)")
        } else if stage.ended {
            stage.collects = false
            worker.pool.copied.hook += stage.intake.byteCount
            let bytes = stage.intake.copyBytes()
            stage.given.append(contentsOf: &stage.intake)
            stage.collected = true
            stage.call.bodyArrived(stage.side, bytes)
        } else {
            askSender(stage)
        }
    }

    /// Lets whoever sends to a stage go on, when the stage has room.
    private func askSender(_ stage: BodyStage) {
        let list = stages(stage.side)
        guard let index = list.firstIndex(where: { $0 === stage }) else { return }
        if index > 0 { return fill(list[index - 1]) }
        if stage.side == .request { return stream?.resumeRequestBody() ?? () }
        tappedBacklog = stage.backlog
        originStream?.responseBodyDrained()
    }

    // MARK: What a hook makes

    /// Puts the body of a result into effect. False when that failed: the exchange ends by its error then.
    func settleBody(of call: GatewayHookCall, _ side: HookSide, _ body: HookBody) -> Bool {
        switch body {
        case .unchanged:
            if passOn(call, side) { return true }
            fail(GatewayError(
                .hookError, in: side == .request ? .requestHook : .responseHook,
                note: "the hook read the body as a stream and sent nothing in its place"))
            return false
        case .none, .socket: replaceBody(Span(), side)
        case .bytes(let bytes): replaceBody(bytes.span, side)
        case .stream: streamBody(call, side)
        }
        return true
    }

    /// The body goes on as it came, also where the hook has read some of it. False when that is not possible any more.
    func passOn(_ call: GatewayHookCall, _ side: HookSide) -> Bool {
        guard let stage = stage(of: call, side) else { return true }
        guard stage.keepsGiven, !stage.ignored else { return false }
        var rest = Chain()
        rest.append(contentsOf: &stage.given)
        rest.append(contentsOf: &stage.intake)
        let ended = stage.ended
        drop(stage)
        if side == .request {
            requestBody.append(contentsOf: &rest)
            requestBodyEnded = ended
        } else {
            if responseStages.isEmpty { endTap() }
            responseBody.append(contentsOf: &rest)
            responseBodyEnded = ended
            if !ended { originStream?.responseBodyDrained() }
        }
        return true
    }

    private func replaceBody(_ bytes: Span<UInt8>, _ side: HookSide) {
        worker.pool.copied.hook += bytes.count
        dropStages(side)
        if side == .response {
            cancelOrigin()
            setBody(bytes)
            if !responseHasBody { responseBody.removeAll() }
        } else {
            replacedRequestBody = true
            requestBodyEnded = true
            requestBody.removeAll()
            requestBody.append(copying: bytes, from: worker.pool)
            request.remove(.contentLength)
            request.body = .known(bytes.count)
        }
    }

    private func streamBody(_ call: GatewayHookCall, _ side: HookSide) {
        let stage = stage(of: call, side) ?? addStage(call, side)
        stage.produces = true
        if !stage.collected { stage.given.removeAll() }
        stage.keepsGiven = false
        if side == .request { requestTrailers = nil } else { responseTrailers = nil }
        fill(stage)
    }

    /// Has a hook make more of its body, as long as there is room for it.
    private func fill(_ stage: BodyStage) {
        guard stage.produces, !stage.producerDone, !stage.filling else { return }
        stage.filling = true
        defer { stage.filling = false }
        while !stage.producerDone, room(behind: stage), stage.call.isStreaming {
            stage.madeSome = false
            stage.call.bodyRoom(stage.side)
            // Nothing came at once: the hook goes on by itself when its own source has more.
            if !stage.madeSome { return }
        }
    }

    private func room(behind stage: BodyStage) -> Bool {
        let list = stages(stage.side)
        guard let index = list.firstIndex(where: { $0 === stage }) else { return false }
        let waiting = index + 1 < list.count ? list[index + 1].backlog
            : stage.side == .request ? requestBody.byteCount : responseBody.byteCount
        return waiting < HookCall.outputStep
    }

    /// The hook made bytes, or came to the end of its body.
    func bodyMade(_ call: GatewayHookCall, _ side: HookSide, done: Bool) {
        let list = stages(side)
        guard let index = list.firstIndex(where: { $0.call === call && $0.produces }) else { return }
        let stage = list[index]
        stage.madeSome = true
        if done { stage.producerDone = true }
        if index + 1 < list.count {
            let next = list[index + 1]
            call.takeOutput(side, into: &next.intake)
            if done { next.ended = true }
            if done { retire(stage) }
            serve(next)
        } else {
            if side == .request { call.takeOutput(side, into: &requestBody) } else { call.takeOutput(side, into: &responseBody) }
            if done { retire(stage) }
            moved(side, ended: done)
        }
        if !done { fill(stage) }
    }

    /// A stage has made all of its body: what it did not read is not wanted any more.
    private func retire(_ stage: BodyStage) {
        let list = stages(stage.side)
        guard let index = list.firstIndex(where: { $0 === stage }) else { return }
        for earlier in list[..<index] { drop(earlier) }
        let unread = !stage.ended
        drop(stage)
        if stage.side == .request {
            if unread { replacedRequestBody = true }
        } else if stages(.response).isEmpty {
            endTap()
            if unread { cancelOrigin() }
        }
    }

    /// The exchange's own body grew.
    private func moved(_ side: HookSide, ended: Bool) {
        if side == .request {
            if ended { requestBodyEnded = true }
            originStream?.requestBodyArrived()
        } else {
            if ended { responseBodyEnded = true }
            if station == .streaming { responseBodyGrew() }
        }
    }

    /// The exchange's body was taken: the hook that makes it may go on. False when none does.
    func stagesMakeMore(_ side: HookSide) -> Bool {
        guard let last = stages(side).last else { return false }
        fill(last)
        return last.produces
    }

    /// A body that a hook was making breaks off.
    func bodyBroken(_ call: GatewayHookCall, _ failure: HookFailure) {
        worker.noteHookFailure(failure, "cut", request: requestID.text)
        countHookFailure(failure, fenced: false)
        failedHook = failure.function
        fail(GatewayError(failure.errorKind, in: .responseHook, note: failure.description))
    }
}
