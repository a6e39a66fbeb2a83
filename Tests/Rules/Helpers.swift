import Buffers
import HTTP
import Rules

/// Loads rule files held in memory. The main file is `rules.yaml`.
func load(_ main: String, _ others: [String: String] = [:]) -> LoadResult {
    var files = others
    files["rules.yaml"] = main
    return RuleFile.load("rules.yaml", provider: FileBundle(files))
}

/// A file with one site for every host and these rules, each line indented as it stands.
func site(request: String = "", response: String = "", error: String = "", top: String = "") -> String {
    func section(_ name: String, _ rules: String) -> String {
        rules.isEmpty ? "" : "    \(name):\n" + rules.split(separator: "\n").map { "      \($0)\n" }.joined()
    }
    return """
        sluice: 1
        upstreams:
          main: {servers: ["http://127.0.0.1:8080"]}
          other: {servers: ["http://127.0.0.1:8081"]}
        \(top)
        sites:
          - name: test
            hosts: ["*"]
            upstream: main
        \(section("request", request))\(section("response", response))\(section("error", error))
          - {name: uses the other, hosts: [other.test], upstream: other}
        """
}

/// A request that can be described in one line.
struct Sent {
    var method = "GET"
    var host = "shop.example.com"
    var target = "/"
    var headers: [(String, String)] = []
    var secure = false
    var client = "192.0.2.7"
    var body = BodyLength.none

    func exchange() -> Exchange {
        let exchange = Exchange()
        exchange.request.setMethod(Array(method.utf8).span)
        exchange.request.authority = exchange.request.arena.append(host)
        let whole = exchange.request.arena.append(target)
        let text = Array(target.utf8)
        if let mark = text.firstIndex(of: UInt8(ascii: "?")) {
            exchange.request.path = whole.prefix(mark)
            exchange.request.query = whole.dropFirst(mark + 1)
            exchange.request.hasQuery = true
        } else {
            exchange.request.path = whole
        }
        exchange.request.scheme = secure ? .https : .http
        exchange.request.body = body
        for (name, value) in headers { exchange.request.add(name: Array(name.utf8).span, value: Array(value.utf8).span) }
        exchange.client.address = IPAddress(client) ?? .unspecified
        exchange.client.port = 50_000
        exchange.requestID = RequestID(high: 1, low: 0xabc)
        exchange.keepOriginal()
        return exchange
    }
}

extension Exchange {
    var path: String { request.text(request.path) }
    var query: String? { request.hasQuery ? request.text(request.query) : nil }

    func answer(_ status: Int, _ headers: [(String, String)] = []) {
        response.status = status
        origin.called = true
        origin.status = status
        for (name, value) in headers { response.add(name: Array(name.utf8).span, value: Array(value.utf8).span) }
    }
}

/// Runs one phase to its end. Hooks are noted and passed over.
struct Ran {
    var steps: [Step] = []
    var matched: [String] = []
    var last: Step { steps.last ?? .done }
}

/// A verdict that lets everything pass.
let pass = LimitVerdict(isAllowed: true, remaining: 3, retryAfter: 0, reset: 1)

func run(
    _ generation: Generation, _ exchange: Exchange, _ phase: Phase = .request, verdicts: (LimitCheck) -> LimitVerdict = { _ in pass }
) -> Ran {
    var runner = RuleRunner()
    guard runner.begin(generation, exchange) else { return Ran(steps: [], matched: ["no site"]) }
    runner.enter(phase, exchange)
    var ran = Ran()
    loop: while true {
        let step = runner.next(exchange)
        ran.steps.append(step)
        switch step {
        case .limit(let check):
            if let reply = runner.settle(check, verdicts(check), exchange) { ran.steps.append(.respond(reply)); break loop }
        case .run, .log: continue
        case .done, .respond, .drop: break loop
        }
    }
    ran.matched = exchange.matchedRules.map { generation.ruleID($0) }
    return ran
}

extension Step {
    func body(_ generation: Generation, _ exchange: Exchange) -> String {
        guard case .respond(let reply) = self else { return "" }
        switch reply.body {
        case .none: return ""
        case .constant(let range): return generation.withBytes(range) { $0.text() }
        case .rendered(let range): return exchange.response.text(range)
        }
    }
}

/// Whether an expression is true for a request; nil when it does not compile.
func evaluate(_ expression: String, _ sent: Sent = Sent(), lists: String = "") -> Bool? {
    let result = load(site(request: "- when: >\n    \(expression)\n  do: [stop]", top: lists))
    guard let configuration = result.configuration else { return nil }
    return !run(Generation(configuration), sent.exchange()).matched.isEmpty
}
