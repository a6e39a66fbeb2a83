import Buffers
import HTTP
import Reactor
import Rules
import Telemetry
import Upstream

/// Copies of requests that are under way to mirrors.
///
/// A mirror must never cost the client anything: a copy that cannot keep up, or one too many, is given up and counted.
final class MirrorSet {
    /// Copies of one worker at once.
    static let limit = 256
    /// Body bytes that wait for one mirror.
    static let waitingLimit = 256 << 10
    /// Bytes of an answer that are read so that its connection can be used again.
    static let answerLimit = 1 << 20

    private var copies: [ObjectIdentifier: MirroredRequest] = [:]

    var hasRoom: Bool { copies.count < MirrorSet.limit }
    func hold(_ copy: MirroredRequest) { copies[ObjectIdentifier(copy)] = copy }
    func forget(_ copy: MirroredRequest) { copies[ObjectIdentifier(copy)] = nil }
}

/// One copy of a request on its way to a mirror: an exchange without a client, its answer dropped.
final class MirroredRequest: ForwardedExchange {
    private unowned let worker: Worker
    private let generation: ServingGeneration
    private var answered = 0
    private var isOver = false

    init(of runner: ExchangeRunner, to upstream: Int, _ generation: ServingGeneration) {
        worker = runner.worker
        self.generation = generation
        super.init()
        request.copy(from: runner.request)
        client = runner.client
        requestID = runner.requestID
        started = worker.nowNanoseconds
        keepOriginal()
        originUpstream = upstream
    }

    /// Asks for a connection; call when what there is of the body is in `requestBody`.
    func send() {
        guard !isOver else { return }
        worker.mirrors.hold(self)
        worker.metrics.add(.mirrorsSent)
        generation.upstreams.open(self, upstream: origin.upstream)
    }

    /// More of the client's body. The mirror's slowness is the mirror's loss.
    func take(_ slice: consuming Slice) {
        guard !isOver else { return }
        requestBody.append(slice)
        if requestBody.byteCount > MirrorSet.waitingLimit { giveUp() }
    }

    /// What the client sent so far is here, or all of it.
    func bodyArrived(ended: Bool, _ trailers: Trailers?) {
        guard !isOver, !requestBodyEnded else { return }
        requestBodyEnded = ended
        requestTrailers = trailers
        originStream?.requestBodyArrived()
    }

    /// The client's exchange is over. Half a request is none.
    func clientIsDone() { if !requestBodyEnded { giveUp() } }

    private func giveUp() {
        guard !isOver else { return }
        worker.metrics.add(.mirrorsDropped)
        end()
    }

    private func end() {
        isOver = true
        cancelOrigin()
        requestBody.removeAll()
        responseBody.removeAll()
        worker.mirrors.forget(self)
    }

    override func originResponded() { if responseBodyEnded { end() } }

    override func originBodyArrived() {
        answered += responseBody.byteCount
        responseBody.removeAll()
        if responseBodyEnded || answered > MirrorSet.answerLimit { return end() }
        originStream?.responseBodyDrained()
    }

    override func originFailed(_ error: GatewayError) {
        guard !isOver else { return }
        worker.metrics.add(.mirrorsFailed)
        end()
    }

    override func originUpgraded() { end() }
}

extension ExchangeRunner {
    /// The request as it goes to the origin goes to its mirrors as well.
    func sendMirrors() {
        guard !rules.mirrors.isEmpty, !wantsUpgrade, let generation else { return }
        for upstream in rules.mirrors where Int(upstream) != self.upstream {
            guard worker.mirrors.hasRoom else {
                worker.metrics.add(.mirrorsDropped)
                continue
            }
            let copy = MirroredRequest(of: self, to: Int(upstream), generation)
            shareBody(with: copy)
            copy.bodyArrived(ended: requestBodyEnded, requestTrailers)
            mirrors.append(copy)
            copy.send()
        }
    }

    /// What waits of the body goes to both, as slices.
    private func shareBody(with copy: MirroredRequest) {
        var kept = Chain()
        while let slice = requestBody.popFirst() {
            copy.take(slice.steady())
            kept.append(slice)
        }
        requestBody.append(contentsOf: &kept)
    }

    func mirrorsHaveBody() {
        for copy in mirrors { copy.bodyArrived(ended: requestBodyEnded, requestTrailers) }
    }

    func forgetMirrors() {
        for copy in mirrors { copy.clientIsDone() }
        mirrors.removeAll(keepingCapacity: true)
    }
}
