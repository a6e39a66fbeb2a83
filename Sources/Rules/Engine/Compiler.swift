import Buffers
import Codings
import HTTP
import Patterns

/// Turns a checked configuration into a program.
struct Compiler {
    var program = Program()
    private(set) var ruleIDs: [String] = []
    private(set) var limits: [LimitPlan] = []
    private(set) var compressions: [CompressSettings] = []
    private(set) var replacements: [CompiledReplacement] = []
    private var patternIndex: [String: Int32] = [:]
    /// Groups of the rule being compiled: name to slot.
    private var slots: [String: Int32] = [:]

    init(_ configuration: Configuration) {
        program.upstreamNames = configuration.upstreams.map { constant(Array($0.name.utf8)) }
        program.balanceKeys = configuration.upstreams.map { upstream in upstream.balanceKey.map { value($0) } }
        for site in configuration.sites {
            program.sites.append(CompiledSite(
                name: constant(Array(site.name.utf8)), upstream: Int32(site.upstream ?? -1),
                request: phase(site, .request), response: phase(site, .response), error: phase(site, .error)))
        }
    }

    private mutating func phase(_ site: Site, _ phase: Phase) -> CompiledPhase {
        let rules = compile(site.rules(phase), phase)
        return CompiledPhase(rules: rules, index: index(site.rules(phase), at: rules))
    }

    private mutating func constant(_ bytes: [UInt8]) -> ByteRange {
        let range = ByteRange(start: program.constants.count, count: bytes.count)
        program.constants += bytes
        return range
    }

    private mutating func compile(_ rules: [Rule], _ phase: Phase) -> Slots {
        let start = program.rules.count
        for rule in rules {
            slots = [:]
            let instructions = program.instructions.count
            if let condition = rule.condition { emit(condition.root) }
            let condition = Slots(instructions, program.instructions.count)
            let limitsBefore = limits.count
            let operations = rule.actions.map { operation($0.kind, rule.id) }
            let captures = program.captures.count
            if !slots.isEmpty, let root = rule.condition?.root { collectCaptures(root) }
            program.captureSlots = max(program.captureSlots, slots.count)
            let first = program.operations.count
            program.operations += operations
            program.changes += rule.actions.map(\.kind.changes)
            program.rules.append(CompiledRule(
                condition: condition, operations: Slots(first, program.operations.count),
                captures: Slots(captures, program.captures.count), shadow: rule.shadow,
                limits: limits.count > limitsBefore))
            ruleIDs.append(rule.id)
        }
        return Slots(start, program.rules.count)
    }

    // MARK: Conditions

    private mutating func emit(_ condition: Condition) {
        switch condition {
        case .constant(let value): program.instructions.append(.constant(value))
        case .not(let inner):
            emit(inner)
            program.instructions.append(.negate)
        case .and(let parts): emit(parts) { .jumpIfFalse($0) }
        case .or(let parts): emit(parts) { .jumpIfTrue($0) }
        case .flag(let use): append(Test(field: slot(use), type: use.type, right: .flag))
        case .exists(let use): append(Test(field: slot(use), type: use.type, right: .exists))
        case .compare(let comparison): append(test(comparison))
        }
    }

    /// Cheap parts first: conditions have no effects, so their order is ours.
    private mutating func emit(_ parts: [Condition], jump: (Int32) -> Instruction) {
        let ordered = parts.enumerated().map { (cost: Self.cost($0.element), index: $0.offset) }
            .sorted { ($0.cost, $0.index) < ($1.cost, $1.index) }
        var jumps: [Int] = []
        for (position, part) in ordered.enumerated() {
            emit(parts[part.index])
            guard position < ordered.count - 1 else { break }
            jumps.append(program.instructions.count)
            program.instructions.append(jump(0))
        }
        for index in jumps { program.instructions[index] = jump(Int32(program.instructions.count)) }
    }

    private static func cost(_ condition: Condition) -> Int {
        switch condition {
        case .constant: 0
        case .not(let inner): cost(inner)
        case .and(let parts), .or(let parts): parts.reduce(0) { $0 + cost($1) }
        case .flag: 1
        case .exists(let use): cost(use)
        case .compare(let comparison): cost(comparison.left) + cost(comparison.operation)
        }
    }

    private static func cost(_ use: FieldUse) -> Int {
        switch use.id {
        case .header, .responseHeader, .originHeader: 4
        case .argument, .cookie, .originalArgument, .variable: 8
        default: 1
        }
    }

    private static func cost(_ operation: Comparison.Operator) -> Int {
        switch operation {
        case .matches: 40
        case .contains, .like: 6
        default: 1
        }
    }

    private mutating func append(_ test: Test) {
        program.instructions.append(.test(Int32(program.tests.count)))
        program.tests.append(test)
    }

    mutating func slot(_ use: FieldUse) -> FieldSlot {
        if use.id == .originHeader { program.readsOriginHeaders = true }
        if use.id == .roundTrip { program.readsRoundTrip = true }
        guard !use.name.isEmpty else { return FieldSlot(id: use.id) }
        let bytes = Array(use.name.utf8)
        return FieldSlot(id: use.id, header: FieldName(matching: bytes.span), name: constant(bytes))
    }

    private mutating func test(_ comparison: Comparison) -> Test {
        // Hosts are compared without case: the field is read in lower case, so its constants must be.
        let folds = Self.isHost(comparison.left.id)
        let fold: ([UInt8]) -> [UInt8] = { folds ? $0.map { lowercased($0) } : $0 }
        let right: Test.Right
        switch comparison.right {
        case .text(let bytes): right = .text(constant(fold(bytes)))
        case .integer(let number): right = .integer(number)
        case .boolean(let flag): right = .boolean(flag)
        case .address(let address): right = .address(address)
        case .field(let use, let transform): right = .field(slot(use), transform)
        case .texts(let texts):
            program.textSets.append(ByteTable(texts.map { (fold($0), 0) }))
            right = .texts(Int32(program.textSets.count - 1))
        case .integers(let ranges):
            let start = program.integerRanges.count
            program.integerRanges += ranges
            right = .integers(Slots(start, start + ranges.count))
        case .addresses(let ranges):
            program.addressSets.append(AddressSet(ranges))
            right = .addresses(Int32(program.addressSets.count - 1))
        case .pattern(let text): right = pattern(text, ignoringCase: folds).map { .pattern($0) } ?? .boolean(false)
        }
        let type: ValueType = comparison.transform == .length ? .integer : comparison.left.type
        return Test(
            field: slot(comparison.left), type: type, transform: comparison.transform, any: comparison.any,
            operation: comparison.operation, right: right)
    }

    static func isHost(_ id: FieldID) -> Bool { id == .host || id == .originalHost }

    /// The checker has compiled it before, so it is valid.
    private mutating func pattern(_ text: String, ignoringCase: Bool) -> Int32? {
        let key = (ignoringCase ? "i" : "-") + text
        if let known = patternIndex[key] { return known }
        guard let pattern = try? Pattern(text, ignoringCase: ignoringCase) else { return nil }
        program.patterns.append(pattern)
        program.patternGuards.append(ignoringCase ? PatternGuard() : patternGuard(text))
        patternIndex[key] = Int32(program.patterns.count - 1)
        return Int32(program.patterns.count - 1)
    }

    private mutating func patternGuard(_ text: String) -> PatternGuard {
        let literals = PatternLiterals(of: text)
        let isOther = literals.required != literals.prefix
        return PatternGuard(prefix: constant(literals.prefix), required: isOther ? constant(literals.required) : .empty)
    }

    private mutating func collectCaptures(_ condition: Condition) {
        switch condition {
        case .and(let parts), .or(let parts): for part in parts { collectCaptures(part) }
        case .compare(let comparison):
            guard case .pattern(let text) = comparison.right,
                let index = pattern(text, ignoringCase: Self.isHost(comparison.left.id))
            else { return }
            // Every group has a number, 0 is the whole match, and some have names.
            for (group, name) in ([""] + program.patterns[Int(index)].groupNames).enumerated() {
                for case let target? in [slots[name], slots[String(group)]] {
                    program.captures.append(CaptureSource(
                        field: slot(comparison.left), transform: comparison.transform, pattern: index,
                        group: Int32(group), slot: target))
                }
            }
        default: break
        }
    }

    // MARK: Actions

    private mutating func value(_ template: Template) -> Value {
        let start = program.pieces.count
        if let whole = template.constant { return Value(pieces: Slots(start, start), constant: constant(whole)) }
        var pieces: [Piece] = []
        for piece in template.pieces {
            switch piece {
            case .literal(let bytes): pieces.append(.literal(constant(bytes)))
            case .field(let use): pieces.append(.field(slot(use)))
            case .capture(let name):
                let slot = slots[name] ?? Int32(slots.count)
                slots[name] = slot
                pieces.append(.capture(slot))
            }
        }
        program.pieces += pieces
        return Value(pieces: Slots(start, program.pieces.count), constant: nil)
    }

    private mutating func header(_ name: String, _ template: Template) -> HeaderValue {
        let bytes = Array(name.utf8)
        return HeaderValue(id: FieldName(matching: bytes.span), name: constant(bytes), value: value(template))
    }

    private mutating func operation(_ kind: Action.Kind, _ rule: String) -> Operation {
        switch kind {
        case .route(let upstream): return .route(Int32(upstream))
        case .split(let key, let targets): return split(key, targets)
        case .respond(let response): return .respond(reply(response))
        case .deny(let status): return .deny(status)
        case .drop: return .drop
        case .redirect(let to, let status): return .redirect(to: value(to), status: status)
        case .rewrite(let path, let query): return .rewrite(path: path.map { value($0) }, query: query.map { value($0) })
        case .setHeader(let name, let template): return .setHeader(header(name, template))
        case .addHeader(let name, let template): return .addHeader(header(name, template))
        case .removeHeader(let name):
            let bytes = Array(name.utf8)
            return .removeHeader(FieldName(matching: bytes.span), constant(bytes))
        case .setStatus(let status): return .setStatus(status)
        case .setVariable(let name, let template): return .setVariable(name: constant(Array(name.utf8)), value(template))
        case .log(let template): return .log(value(template))
        case .run(let function, let arguments): return .run(function: Int32(function), arguments: constant(arguments))
        case .stop: return .stop
        case .rateLimit(let settings): return .limit(limit(settings, rule))
        case .limitBody(let bytes): return .limitBody(bytes)
        case .retry(let policy): return .retry(policy)
        case .timeout(let times): return .timeout(times)
        case .compress(let settings):
            compressions.append(settings)
            return .compress(Int32(compressions.count - 1))
        case .replaceBody(let pairs):
            replacements.append(CompiledReplacement(search: SearchTexts(pairs.map(\.find)), with: pairs.map { value($0.with) }))
            return .replaceBody(Int32(replacements.count - 1))
        case .mirror(let upstream, let percent): return .mirror(upstream: Int32(upstream), percent: Int32(percent))
        case .setCookie(let cookie):
            return .setCookie(CompiledCookie(
                name: constant(Array(cookie.name.utf8)), value: value(cookie.value), attributes: constant(Array(cookie.attributes.utf8))))
        case .removeCookie(let name): return .removeCookie(constant(Array(name.utf8)))
        }
    }

    private mutating func limit(_ settings: RateLimitSettings, _ rule: String) -> Int32 {
        let start = program.limitFields.count
        for use in settings.key { program.limitFields.append(slot(use)) }
        let earlier = limits.count { $0.id == rule || $0.id.hasPrefix(rule + "#") }
        // A string of RFC 8941: ASCII, with quotes escaped.
        let name = rule.unicodeScalars.map { (" "..."~").contains($0) ? String($0) : "?" }.joined()
        let label = "\"" + name.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
        limits.append(LimitPlan(
            id: earlier == 0 ? rule : "\(rule)#\(earlier + 1)", settings: settings, fields: Slots(start, program.limitFields.count),
            label: constant(Array(label.utf8)),
            policy: constant(Array("\(label);q=\(settings.count);w=\(settings.period / 1000)".utf8))))
        return Int32(limits.count - 1)
    }

    private mutating func split(_ key: FieldUse?, _ targets: [Action.WeightedUpstream]) -> Operation {
        let start = program.weights.count
        var sum = 0
        for target in targets where target.weight > 0 {
            sum += target.weight
            program.weights.append((sum, Int32(target.upstream)))
        }
        return .split(key.map { slot($0) }, Slots(start, program.weights.count))
    }

    private mutating func reply(_ response: Action.Response) -> Int32 {
        let headers = response.headers.map { header($0.name, $0.value) }
        let start = program.headers.count
        program.headers += headers
        program.replies.append(PreparedReply(
            status: response.status, headers: Slots(start, program.headers.count), body: response.body.map { value($0) },
            isJSON: response.isJSON))
        return Int32(program.replies.count - 1)
    }
}
