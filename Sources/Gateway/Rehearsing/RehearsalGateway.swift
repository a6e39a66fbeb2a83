import Buffers
import HTTP
import Isolates
import Reactor
public import Rules
public import Upstream

/// A gateway without sockets: requests go in as values and answers come out, origins are played by a script, and the
/// clock moves only when nothing is left to do. What runs between is what serves: the runner, the rules, the hooks, the
/// upstream pools, the HTTP/1.1 codec towards the origin.
public final class RehearsalGateway {
    /// Longest that a request may take, in virtual milliseconds.
    public static let patience: UInt64 = 3_600_000
    private let worker: Worker
    private let stage = ScriptedStage()
    private lazy var explainer = worker.generation.map { Explainer($0.rules) }

    /// Loads the configuration and its hooks; certificates are not needed.
    /// - Throws: when a hook cannot be loaded; the error says where and why.
    public init(_ configuration: Configuration, files: FileBundle) throws {
        worker = try Worker(rehearsing: configuration, files: files, on: stage)
    }

    /// Plays one request to its end, and whatever hooks do afterwards.
    /// - Parameters:
    ///   - traced: keep what each rule came to.
    ///   - script: says what each attempt to reach a server comes to.
    public func play(
        _ request: RehearsedRequest, traced: Bool = false, script: @escaping (RehearsedAttempt) -> StagedOutcome
    ) -> RehearsedAnswer {
        let trace = traced ? explainer.map { RuleTrace($0) } : nil
        var answer = watched(request.time, script) {
            let stream = RehearsalStream(worker: worker, request)
            stream.begin(trace)
            let finished = play { stream.isOver }
            var answer = stream.answer
            if !finished { answer.isCut = true }
            return answer
        }
        if let trace { answer.trace = (trace.text, trace.json) }
        return answer
    }

    /// Runs the first schedule of a function, as its time comes; nil when it has none.
    public func playSchedule(
        of function: String, time: Int? = nil, script: @escaping (RehearsedAttempt) -> StagedOutcome
    ) -> RehearsedAnswer? {
        guard let generation = worker.generation, let hook = generation.functions.schedules.first(where: { $0.bound.shared.key.name == function })
        else { return nil }
        return watched(time, script) {
            let run = worker.schedules.run(hook, worker.wallSeconds, 0, generation)
            _ = play { run.failed != nil }
            var answer = RehearsedAnswer()
            answer.hooks = [RehearsedHook(function: function, phase: "scheduled", outcome: run.failed == false ? "continue" : "error")]
            return answer
        }
    }

    /// Plays something and gathers what went on meanwhile.
    private func watched(
        _ time: Int?, _ script: @escaping (RehearsedAttempt) -> StagedOutcome, _ body: () -> RehearsedAnswer
    ) -> RehearsedAnswer {
        stage.begin(script)
        var log: [String] = []
        worker.log.listener = { level, message, details in
            log.append(details.filter { !$0.1.isEmpty && $0.0 != "request" }.reduce("\(level): \(message)") { "\($0) \($1.0)=\($1.1)" })
        }
        if let time { worker.setWall(time) }
        let began = worker.now
        showTime()
        defer { V8Engine.setClock(milliseconds: nil) }
        var answer = body()
        answer.milliseconds = Int(worker.now - began)
        // What hooks still do (`waitUntil`) belongs to this request, as far as it waits for no time.
        _ = worker.play(atMost: 0) { false }
        worker.log.listener = nil
        answer.calls = stage.end()
        answer.log = log
        answer.namespaces = worker.stores.rehearsed
        return answer
    }

    private func play(until isDone: () -> Bool) -> Bool {
        worker.play(atMost: RehearsalGateway.patience) {
            showTime()
            return isDone()
        }
    }

    /// `Date` in hooks says what the clock of the rehearsal says.
    private func showTime() {
        V8Engine.setClock(milliseconds: Double(worker.wallSeconds) * 1000 + Double(worker.now % 1000))
    }

    /// What namespaces hold from now on: these entries and nothing else.
    public func fill(_ entries: [(namespace: String, key: String, value: String)]) { worker.stores.rehearse(entries) }

    /// Lets virtual time pass: windows of limits end, servers that were passed over are tried again.
    public func pass(milliseconds: Int) { worker.pass(UInt64(max(milliseconds, 0))) }
}

/// Asks the script of the request that is being played.
private final class ScriptedStage: OriginStage {
    private var script: ((RehearsedAttempt) -> StagedOutcome)?
    private var calls: [RehearsedCall] = []

    func begin(_ script: @escaping (RehearsedAttempt) -> StagedOutcome) {
        self.script = script
        calls = []
    }

    func end() -> [RehearsedCall] {
        script = nil
        defer { calls = [] }
        return calls
    }

    override func outcome(upstream: String, server: Int, _ exchange: ForwardedExchange) -> StagedOutcome {
        guard let script else { return .unreachable(.connect, note: "the request is over") }
        return script(RehearsedAttempt(
            upstream: upstream, server: server, method: exchange.request.text(exchange.request.methodName),
            path: exchange.request.text(exchange.request.path), isSubrequest: !(exchange is ExchangeRunner)))
    }

    override func received(_ request: StagedRequest, upstream: String, server: Int, _ exchange: ForwardedExchange?) {
        let isSubrequest = exchange.map { !($0 is ExchangeRunner) } ?? false
        calls.append(RehearsedCall(upstream: upstream, server: server, isSubrequest: isSubrequest, request: request))
    }
}
