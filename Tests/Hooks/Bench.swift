import Buffers
import HTTP
import Testing

@testable import Hooks

/// A worker's end of the hooks, with a clock that only moves when a test moves it.
final class FakeHost: HookHost {
    var clock: UInt64 = 1_000_000_000
    var lines: [String] = []
    var running: [String] = []
    var depth = 0

    override var now: UInt64 { clock }
    @discardableResult
    override func willRun(_ function: HookFunction, _ call: HookCall?) -> UInt64 {
        depth += 1
        running.append(function.name)
        return 0
    }
    override func didRun(_ function: HookFunction, _ call: HookCall?) { depth -= 1 }
    override func log(_ level: Int, function: HookFunction, call: HookCall?, text: String) {
        lines.append("\(function.name) \(level): \(text)")
    }
}

/// A call that writes down what the hook asked of the gateway.
class FakeCall: HookCall {
    var outcomes: [HookOutcome] = []
    var bodiesWanted: [HookSide] = []
    var subrequests: [HookSubrequest] = []
    var cancelled: [Int32] = []
    var sent: [HookBody] = []
    var releases = 0
    var pulls: [HookSide] = []
    var cancelledBodies: [HookSide] = []
    var output: [HookSide: String] = [:]
    var outputSteps: [Int] = []
    var done: [HookSide] = []
    var broken: [HookFailure] = []
    /// Given to pulls one by one, then the end; nil: the test answers.
    var chunks: [String]?
    /// Answers at once when set.
    var body: String?

    override func finished(_ outcome: HookOutcome) { outcomes.append(outcome) }
    override func released() { releases += 1 }
    override func readBody(_ side: HookSide) {
        bodiesWanted.append(side)
        if let body { bodyArrived(side, Array(body.utf8)) }
    }
    override func pullBody(_ side: HookSide) {
        pulls.append(side)
        guard chunks != nil else { return }
        repeat {
            if chunks!.isEmpty { bodyEnded(side) } else { give(side, chunks!.removeFirst()) }
        } while takesMore(side)
    }
    func give(_ side: HookSide, _ text: String) { bodyChunk(side, Array(text.utf8).span) }
    override func cancelBody(_ side: HookSide) { cancelledBodies.append(side) }
    override func bodyMade(_ side: HookSide) {
        var chain = Chain()
        takeOutput(side, into: &chain)
        outputSteps.append(chain.byteCount)
        output[side, default: ""] += String(decoding: chain.copyBytes(), as: UTF8.self)
    }
    override func bodyDone(_ side: HookSide) { done.append(side) }
    override func bodyBroken(_ failure: HookFailure) { broken.append(failure) }
    /// Lets the hook make all of its body.
    func drain(_ side: HookSide = .response) -> String {
        while !done.contains(side), broken.isEmpty, isStreaming {
            let before = outputSteps.count
            bodyRoom(side)
            if outputSteps.count == before { break }
        }
        return output[side] ?? ""
    }
    override func sendToOrigin(_ body: HookBody) { sent.append(body) }
    override func subrequest(_ request: HookSubrequest) { subrequests.append(request) }
    override func cancelSubrequest(_ id: Int32) { cancelled.append(id) }
    /// Of sub-requests whose bodies flow.
    var parts: [Int32] = []
    var askedFor: [Int32: String] = [:]
    var asksDone: [Int32] = []
    override func pullAnswer(_ id: Int32) { parts.append(id) }
    override func askMade(_ id: Int32) {
        var chain = Chain()
        takeAsk(id, into: &chain)
        askedFor[id, default: ""] += String(decoding: chain.copyBytes(), as: UTF8.self)
    }
    override func askDone(_ id: Int32) {
        askMade(id)
        asksDone.append(id)
    }
}

/// One function and one exchange, ready for a call.
final class Bench {
    let host = FakeHost()
    let runtime: HookRuntime
    let function: HookFunction
    let binding: HookBinding
    let exchange = Exchange()
    let call = FakeCall()

    init(
        _ code: String, arguments: String = "{}", upstreams: [String] = [], modules: [String: String] = [:],
        limits change: (inout HookLimits) -> Void = { _ in }, source more: (inout HookSource) -> Void = { _ in }
    ) throws {
        runtime = HookRuntime(host: host)
        var source = HookSource(name: "under test", main: "hooks/a.js", modules: modules)
        source.modules["hooks/a.js"] = code
        source.upstreams = upstreams
        source.variables = ["MODE": "test"]
        // Generous: a busy machine must not stop a hook that is not meant to be stopped.
        source.limits.cpuMicroseconds = 5_000_000
        change(&source.limits)
        more(&source)
        function = try runtime.load(source)
        binding = try function.bind(HookRule(name: "the rule", file: "rules.yaml", line: 12, arguments: arguments))
        fillExchange(exchange)
    }

    /// Runs a handler to its end; nil when it is pending.
    @discardableResult
    func run(_ phase: HookPhase = .request, _ other: FakeCall? = nil) -> HookOutcome? {
        let call = other ?? call
        switch runtime.start(call, function, binding, phase, exchange) {
        case .finished(let outcome): return outcome
        case .pending: return call.outcomes.popLast()
        }
    }

    func advance(milliseconds: UInt64) {
        host.clock += milliseconds * 1_000_000
        runtime.fireTimers(host.clock)
    }
}

func fillExchange(_ exchange: Exchange) {
    exchange.reset()
    exchange.request.setMethod(Span("POST"))
    exchange.request.scheme = .https
    exchange.request.authority = exchange.request.arena.append("shop.example")
    exchange.request.setPath(Span("/cart/7"))
    exchange.request.setQuery(Span("a=1&b=two"))
    exchange.request.add(.host, "shop.example")
    exchange.request.add(.userAgent, "curl/8")
    exchange.request.add(.contentLength, "5")
    exchange.request.add(name: Span("X-Twice"), value: Span("one"))
    exchange.request.add(name: Span("X-Twice"), value: Span("two"))
    exchange.request.body = .known(5)
    exchange.response.status = 200
    exchange.response.add(.contentType, "text/plain")
    exchange.response.add(.setCookie, "a=1")
    exchange.response.add(.setCookie, "b=2")
    exchange.response.body = .unknown
    exchange.client.address = IPAddress("192.0.2.7") ?? .unspecified
    exchange.client.port = 4711
    exchange.client.tls = TLSInfo(version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256", serverName: "shop.example")
    exchange.requestID = RequestID(high: 1, low: 0xabc)
}

func text(_ body: HookBody) -> String {
    switch body {
    case .unchanged: "unchanged"
    case .none: "none"
    case .socket: "socket"
    case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
    case .stream(let length): "stream\(length.map { " of \($0)" } ?? "")"
    }
}

/// An outcome as one line, for comparisons that read well when they fail.
func line(_ outcome: HookOutcome?) -> String {
    switch outcome {
    case nil: "pending"
    case .proceed(let body)?: "proceed \(text(body))"
    case .respond(let body)?: "respond \(text(body))"
    case .deny(let status)?: "deny \(status)"
    case .failed(let failure)?: "failed \(failure.kind): \(failure)"
    }
}
