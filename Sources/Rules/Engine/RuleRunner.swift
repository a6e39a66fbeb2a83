import Buffers
public import HTTP

/// Runs the rules of one exchange, phase by phase. Reused between exchanges: a warm runner allocates nothing.
///
///     begin -> enter(.request) -> next... -> enter(.response) -> next... ; enter(.error) when something failed
public struct RuleRunner: ~Copyable {
    /// The generation this exchange began with; nil before `begin`.
    public private(set) var generation: Generation?
    public private(set) var phase = Phase.request
    /// Ask every rule in turn, also those of which the index knows that they cannot match. The outcome is the same;
    /// whoever explains decisions wants to see each of them. Heeded when a phase begins.
    public var asksEveryRule = false
    /// Keeps what happens, rule by rule; then every rule is asked.
    public var trace: RuleTrace?

    /// Values made for one evaluation: lower-case text, numbers, decoded arguments. Emptied before each rule.
    var scratch = ByteArena(capacity: 512)
    /// Text of the groups of the current rule's patterns.
    var captureText = ByteArena(capacity: 256)
    var captureRanges: [ByteRange] = []
    var groups: [PatternGroup] = []
    /// The fields the origin sent, kept when some rule asks for `origin.header.*`.
    var originFields: [Field] = []

    /// Key of the `rate_limit` that was asked last.
    var limitKey = ByteArena(capacity: 128)
    /// Limits that were asked, for the answer's fields.
    var limitReports: [LimitReport] = []
    /// What the rules so far want to be done with the response's body.
    public internal(set) var wishes = BodyWishes()
    /// Upstreams that get a copy of the request.
    public internal(set) var mirrors: [Int32] = []
    /// The current rule is in shadow mode: only its limits are asked.
    private(set) var isShadow = false

    private var rule = 0
    private var ruleEnd = 0
    private var operation = 0
    private var operationEnd = 0
    /// The phase's index, or -1.
    private var index = -1
    var candidates = Candidates()
    /// Rules whose condition was evaluated since `begin`.
    private(set) var asked = 0
    /// Something the index depends on may have changed since the candidates were found.
    private var isStale = false

    public init() {}

    /// Chooses the site by the request's host and its default upstream.
    /// - Returns: false when no site wants the host; the answer is then 404 or 421.
    public mutating func begin(_ generation: Generation, _ exchange: Exchange) -> Bool {
        self.generation = generation
        rule = 0
        ruleEnd = 0
        operation = 0
        operationEnd = 0
        index = -1
        asked = 0
        originFields.removeAll(keepingCapacity: true)
        limitReports.removeAll(keepingCapacity: true)
        wishes.reset()
        mirrors.removeAll(keepingCapacity: true)
        exchange.site = Access.with(exchange.request, exchange.request.host()) { generation.site(forHost: $0) }
        guard exchange.site >= 0 else { return false }
        exchange.upstream = Int(generation.program.sites[exchange.site].upstream)
        return true
    }

    /// Forgets the generation, so that an old one can be freed.
    public mutating func end() {
        generation = nil
        trace = nil
        rule = ruleEnd
        operation = operationEnd
    }

    /// Starts a phase; call after the response head has arrived for `.response`.
    public mutating func enter(_ phase: Phase, _ exchange: Exchange) {
        self.phase = phase
        operation = operationEnd
        guard let generation, exchange.site >= 0 else {
            rule = ruleEnd
            return
        }
        let compiled = generation.program.sites[exchange.site].phase(phase)
        rule = compiled.rules.indices.lowerBound
        ruleEnd = compiled.rules.indices.upperBound
        trace?.enter(phase)
        index = asksEveryRule || trace != nil ? -1 : Int(compiled.index)
        isStale = true
        if phase == .response, generation.program.readsOriginHeaders {
            originFields.removeAll(keepingCapacity: true)
            for field in exchange.response.fields { originFields.append(field) }
        }
    }

    /// Goes on until the gateway has to act. Edits of heads, variables and the route are done on the way.
    public mutating func next(_ exchange: Exchange) -> Step {
        let step = step(exchange)
        trace?.settle(exchange)
        return step
    }

    private mutating func step(_ exchange: Exchange) -> Step {
        guard let generation else { return .done }
        while true {
            while operation < operationEnd {
                let current = generation.program.operations[operation]
                operation += 1
                if isShadow {
                    guard case .limit = current else { continue }
                }
                if index >= 0, !isStale { isStale = generation.program.indexes[index].fields.meets(generation.program.changes[operation &- 1]) }
                if let step = perform(current, rule: Int32(rule - 1), generation, exchange) { return step }
            }
            guard advance(generation, exchange) else { return .done }
            consider(generation, exchange)
        }
    }

    /// Goes to the next rule that can match.
    /// - Returns: false when there is none.
    private mutating func advance(_ generation: Generation, _ exchange: Exchange) -> Bool {
        guard rule < ruleEnd else { return false }
        guard index >= 0 else { return true }
        if isStale {
            findCandidates(generation.program.indexes[index], from: Int32(rule), generation, exchange)
            isStale = false
        }
        rule = candidates.next(of: generation.program.forest.postings).map { Int($0) } ?? ruleEnd
        return rule < ruleEnd
    }

    /// Whether the rule's condition is true of the exchange as it is now.
    mutating func decide(_ compiled: CompiledRule, _ generation: Generation, _ exchange: Exchange) -> Bool {
        asked &+= 1
        scratch.removeAll()
        return evaluate(compiled.condition, generation, exchange)
    }

    /// Evaluates the next rule and, when it matches, makes its operations the current ones.
    private mutating func consider(_ generation: Generation, _ exchange: Exchange) {
        let compiled = generation.program.rules[rule]
        let id = Int32(rule)
        rule += 1
        let matches = decide(compiled, generation, exchange)
        if let trace { self.trace(trace, rule: Int(id), matched: matches, shadow: compiled.shadow, exchange) }
        guard matches else { return }
        exchange.matchedRules.append(compiled.shadow ? ~id : id)
        isShadow = compiled.shadow
        guard !isShadow || compiled.limits else { return }
        captureText.removeAll()
        captureRanges.removeAll(keepingCapacity: true)
        if compiled.captures.count > 0 { capture(compiled.captures, generation, exchange) }
        operation = compiled.operations.indices.lowerBound
        operationEnd = compiled.operations.indices.upperBound
    }

    /// Ends the phase: nothing more of it will run.
    mutating func finish() {
        rule = ruleEnd
        operation = operationEnd
    }
}
