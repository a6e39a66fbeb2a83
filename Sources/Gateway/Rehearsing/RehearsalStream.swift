import Buffers
import HTTP
import HTTP1
import Reactor
import Rules
import Upstream

/// The client of a rehearsal. Takes the answer as fast as it comes.
final class RehearsalStream: ClientStream {
    private let worker: Worker
    private let request: RehearsedRequest
    private(set) var answer = RehearsedAnswer()
    private(set) var isOver = false
    private var bodySent = 0
    private var resumePending = false
    private var headSent = false
    private var bytes = 0

    init(worker: Worker, _ request: RehearsedRequest) {
        self.worker = worker
        self.request = request
        super.init(fd: -1)
    }

    override var bytesSent: Int { bytes }
    override var clientProtocol: HTTPVersion { request.version }

    // MARK: The request

    /// Reads the request as a connection would and begins the exchange.
    func begin(_ trace: RuleTrace?) {
        let runner = worker.takeRunner(for: self, request.client)
        runner.rules.trace = trace
        self.runner = runner
        var parser = RequestParser(limits: HeadLimits(worker.generation?.configuration.limits ?? Limits()))
        let head = Array(headText.utf8)
        switch parser.parse(head.span, into: &runner.request) {
        case .needMore: runner.refuse(.badRequest, note: "the head has no end")
        case .failed(let kind, let note): runner.refuse(kind, note: note)
        case .complete:
            runner.request.scheme = request.scheme
            runner.request.version = request.version
            if request.version == .http2 { runner.request.remove(.host) }
            runner.wantsUpgrade = parser.wantsUpgrade
            runner.requestBodyEnded = request.body.isEmpty
            runner.bodyLimit = worker.generation?.configuration.limits.body ?? .max
            runner.begin()
            if !request.body.isEmpty { resumeSoon() }
        }
    }

    private var headText: String {
        var text = "\(request.method) \(request.target) HTTP/1.1\r\n"
        if !request.fields.contains(where: { $0.name.lowercased() == "host" }) { text += "host: \(request.authority)\r\n" }
        for field in request.fields { text += "\(field.name): \(field.value)\r\n" }
        let framed = request.fields.contains { ["content-length", "transfer-encoding"].contains($0.name.lowercased()) }
        if !request.body.isEmpty, !framed { text += "content-length: \(request.body.count)\r\n" }
        return text + "\r\n"
    }

    private func sendBody() {
        guard let runner, !runner.requestBodyEnded else { return }
        let room = worker.generation?.configuration.limits.exchangeBuffer ?? 1 << 18
        while bodySent < request.body.count, runner.requestBody.byteCount < room {
            let end = min(bodySent + 16_384, request.body.count)
            var chain = Chain()
            chain.append(copying: request.body[bodySent..<end].span, from: worker.pool)
            while let slice = chain.popFirst() {
                guard runner.acceptBody(slice) else {
                    bodySent = request.body.count
                    return runner.clientFailed(.bodyTooLarge, note: "the request body is larger than its limit")
                }
            }
            bodySent = end
        }
        runner.requestBodyEnded = bodySent == request.body.count
        runner.requestBodyArrived()
    }

    override func resumeRequestBody() { resumeSoon() }

    // MARK: The answer

    override func sendHead() {
        guard let runner else { return }
        headSent = true
        answer.status = runner.response.status
        answer.fields = sentFields(runner)
        resumeSoon()
    }

    /// What the HTTP/1.1 codec would write, without what only frames the body.
    private func sentFields(_ runner: ExchangeRunner) -> [(name: String, value: String)] {
        var output = OutputBuffer(pool: worker.pool)
        ResponseWriter.write(runner.response, to: &output, connection: .keepAlive, clientVersion: .http11)
        let text = String(decoding: output.chain.copyBytes(), as: UTF8.self)
        output.removeAll()
        return text.split(separator: "\r\n").dropFirst().compactMap { line in
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map { String($0) }
            guard parts.count == 2, !["transfer-encoding", "connection"].contains(parts[0].lowercased()) else { return nil }
            return (parts[0], String(parts[1].drop { $0 == " " }))
        }
    }

    override func responseBodyChanged() { resumeSoon() }

    override func becomeTunnel() {
        // Nothing is said in the tunnel: the client leaves as soon as it is there.
        guard let runner else { return }
        note(runner)
        isOver = true
        self.runner = nil
        runner.clientGone()
    }

    override func abort(_ kind: ErrorKind) {
        if let runner { note(runner) }
        runner = nil
        answer.isCut = true
        isOver = true
    }

    override func resume() {
        resumePending = false
        sendBody()
        guard let runner, headSent else { return }
        if !runner.responseBody.isEmpty {
            let taken = runner.responseBody.copyBytes()
            bytes += taken.count
            answer.body += taken
            runner.responseBody.removeAll()
            runner.clientDrained()
        }
        guard self.runner === runner, runner.responseBody.isEmpty, runner.responseBodyEnded else { return }
        note(runner)
        isOver = true
        self.runner = nil
        runner.finish()
    }

    private func resumeSoon() {
        guard !resumePending, !isOver else { return }
        resumePending = true
        worker.later(self)
    }

    /// Keeps what is known of the exchange before its runner serves another.
    private func note(_ runner: ExchangeRunner) {
        guard let generation = runner.generation else { return }
        let configuration = generation.configuration
        answer.rules = runner.matchedRules.map { generation.rules.ruleID($0) }
        if runner.site >= 0 { answer.site = configuration.sites[runner.site].name }
        if runner.upstream >= 0 { answer.upstream = configuration.upstreams[runner.upstream].name }
        answer.hooks = runner.hookCalls.map {
            RehearsedHook(function: configuration.functions[$0.function].name, phase: $0.phase.name, outcome: $0.outcome)
        }
        if let error = runner.error { answer.error = (error.kind.name, "\(error.kind.token)", error.note) }
    }
}
