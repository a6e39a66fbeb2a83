import Buffers
import Foundation
import Patterns
import Rules

/// Runs rules as the documents say: from top to bottom, each condition read from the checked syntax tree, on plain
/// strings. Slow, short, and independent of the engine.
struct NaiveInterpreter {
    let configuration: Configuration
    var request: NaiveRequest
    private let original: NaiveRequest
    private var site: Site?
    private var matched: [String] = []
    /// Groups of the rule at hand.
    private var captures: [String: String] = [:]
    private var patterns: [String: Pattern] = [:]

    init(_ configuration: Configuration, _ request: NaiveRequest) {
        self.configuration = configuration
        self.request = request
        original = request
        site = Self.site(configuration, NaiveRequest.host(request.authority))
        self.request.upstream = site?.upstream ?? -1
    }

    private static func site(_ configuration: Configuration, _ host: String) -> Site? {
        var best: (site: Site, length: Int)?
        for site in configuration.sites {
            for pattern in site.hosts {
                let length: Int? = switch pattern {
                case .exact(let name): host == name ? .max : nil
                case .wildcard(let suffix): host.hasSuffix("." + suffix) && host.count > suffix.count + 1 ? suffix.count : nil
                case .any: 0
                }
                if let length, length > best?.length ?? -1 { best = (site, length) }
            }
        }
        return best?.site
    }

    mutating func run(_ phase: Phase) -> String {
        guard let site else { return "no site" }
        matched = []
        let rules = phase == .request ? site.request : site.response
        for rule in rules {
            captures = [:]
            guard rule.condition.map({ truth($0.root) }) ?? true else { continue }
            matched.append(rule.id + (rule.shadow ? " (shadow)" : ""))
            guard !rule.shadow else { continue }
            if let condition = rule.condition { capture(condition.root) }
            for action in rule.actions {
                if let end = perform(action.kind, phase) { return request.outcome(matched, end) }
            }
        }
        return request.outcome(matched, "done")
    }

    // MARK: Conditions

    private mutating func truth(_ condition: Condition) -> Bool {
        switch condition {
        case .constant(let value): return value
        case .and(let parts):
            for part in parts where !truth(part) { return false }
            return true
        case .or(let parts):
            for part in parts where truth(part) { return true }
            return false
        case .not(let inner): return !truth(inner)
        case .flag: return false
        case .exists(let use): return text(use) != nil
        case .compare(let comparison): return truth(comparison)
        }
    }

    private mutating func truth(_ comparison: Comparison) -> Bool {
        switch comparison.left.type {
        case .address:
            guard let address = IPAddress(request.client), case .addresses(let ranges) = comparison.right else { return false }
            return ranges.contains { Self.contains($0, address) }
        case .boolean: return false
        case .integer, .text: break
        }
        let values = comparison.any ? every(comparison.left) : [text(comparison.left)].compactMap { $0 }
        for value in values where passes(comparison, value) { return true }
        return false
    }

    private static func contains(_ range: AddressRange, _ address: IPAddress) -> Bool {
        let (a, b) = (range.network.text.split(separator: ".").compactMap { Int($0) }, address.text.split(separator: ".").compactMap { Int($0) })
        guard a.count == 4, b.count == 4 else { return false }
        let number = { (parts: [Int]) in parts.reduce(0) { $0 << 8 | $1 } }
        return number(a) >> (32 - range.prefix) == number(b) >> (32 - range.prefix)
    }

    private mutating func passes(_ comparison: Comparison, _ value: String) -> Bool {
        if comparison.left.type == .integer || comparison.transform == .length {
            guard let number = comparison.transform == .length ? value.utf8.count : Int(value) else { return false }
            return passes(comparison, number)
        }
        let left = comparison.transform == .lowercase ? value.lowercased() : value
        // Hosts are compared without case.
        let folds = comparison.left.id == .host || comparison.left.id == .originalHost
        switch comparison.right {
        case .text(let bytes):
            let text = String(decoding: bytes, as: UTF8.self)
            return compare(left, comparison.operation, folds ? text.lowercased() : text)
        case .texts(let texts):
            return texts.contains { (folds ? String(decoding: $0, as: UTF8.self).lowercased() : String(decoding: $0, as: UTF8.self)) == left }
        case .field(let use, let transform):
            guard let right = text(use) else { return false }
            return compare(left, comparison.operation, transform == .lowercase ? right.lowercased() : right)
        case .pattern(let pattern): return groups(pattern, left, ignoringCase: folds) != nil
        default: return false
        }
    }

    private mutating func passes(_ comparison: Comparison, _ left: Int) -> Bool {
        let right: Int
        switch comparison.right {
        case .integer(let number): right = number
        case .integers(let ranges): return ranges.contains { $0.contains(left) }
        case .field(let use, let transform):
            guard let value = text(use), let number = transform == .length ? value.utf8.count : Int(value) else { return false }
            right = number
        default: return false
        }
        switch comparison.operation {
        case .equal: return left == right
        case .notEqual: return left != right
        case .less: return left < right
        case .lessOrEqual: return left <= right
        case .greater: return left > right
        case .greaterOrEqual: return left >= right
        default: return false
        }
    }

    private func compare(_ left: String, _ operation: Comparison.Operator, _ right: String) -> Bool {
        switch operation {
        case .equal: left == right
        case .notEqual: left != right
        case .contains: right.isEmpty || left.contains(right)
        case .startsWith: left.hasPrefix(right)
        case .endsWith: left.hasSuffix(right)
        case .like: Self.like(left[...], right[...])
        default: false
        }
    }

    private static func like(_ text: Substring, _ pattern: Substring) -> Bool {
        guard let first = pattern.first else { return text.isEmpty }
        if first == "*" { return like(text, pattern.dropFirst()) || (!text.isEmpty && like(text.dropFirst(), pattern)) }
        return text.first == first && like(text.dropFirst(), pattern.dropFirst())
    }

    // MARK: Fields

    private func text(_ use: FieldUse) -> String? { every(use).first }

    private func every(_ use: FieldUse) -> [String] {
        let one: String? = switch use.id {
        case .method: request.method
        case .scheme: "http"
        case .host: NaiveRequest.host(request.authority)
        case .path: request.path
        case .query: request.query
        case .uri: request.path + (request.query.map { "?" + $0 } ?? "")
        case .argument: NaiveRequest.argument(use.name, request.query)
        case .cookie: request.cookie(use.name)
        case .site: site?.name
        case .variable: request.variables[use.name]
        case .originalPath: original.path
        case .originalQuery: original.query
        case .originalHost: NaiveRequest.host(original.authority)
        case .status: "\(request.status)"
        case .clientIP: request.client
        default: nil
        }
        if use.id == .header, use.name == "host" { return [request.authority] }
        if use.id == .header { return request.headers.filter { $0.name == use.name }.map(\.value) }
        if use.id == .responseHeader { return request.responseHeaders.filter { $0.name == use.name }.map(\.value) }
        return one.map { [$0] } ?? []
    }

    // MARK: Captures

    private mutating func groups(_ pattern: String, _ text: String, ignoringCase: Bool) -> [String: String]? {
        let key = (ignoringCase ? "i" : "-") + pattern
        let compiled = patterns[key] ?? (try? Pattern(pattern, ignoringCase: ignoringCase))
        guard let compiled else { return nil }
        patterns[key] = compiled
        let bytes = Array(text.utf8)
        var found: [Capture] = []
        guard compiled.firstMatch(in: bytes.span, captures: &found) else { return nil }
        var named: [String: String] = [:]
        for (index, name) in compiled.groupNames.enumerated() where !name.isEmpty && found[index + 1].isSet {
            named[name] = String(decoding: bytes[found[index + 1].start..<found[index + 1].end], as: UTF8.self)
        }
        return named
    }

    /// The first pattern in the condition that gives a group a text gives it for good.
    private mutating func capture(_ condition: Condition) {
        switch condition {
        case .and(let parts), .or(let parts): for part in parts { capture(part) }
        case .compare(let comparison):
            guard case .pattern(let pattern) = comparison.right, let value = text(comparison.left) else { return }
            let left = comparison.transform == .lowercase ? value.lowercased() : value
            for (name, text) in groups(pattern, left, ignoringCase: comparison.left.id == .host) ?? [:] where (captures[name] ?? "").isEmpty {
                captures[name] = text
            }
        default: break
        }
    }

    // MARK: Actions

    private func render(_ template: Template) -> String {
        var out = ""
        for piece in template.pieces {
            switch piece {
            case .literal(let bytes): out += String(decoding: bytes, as: UTF8.self)
            case .field(let use): out += text(use) ?? ""
            case .capture(let name): out += captures[name] ?? ""
            }
        }
        return out
    }

    /// - Returns: how the phase ends, if it does.
    private mutating func perform(_ kind: Action.Kind, _ phase: Phase) -> String? {
        switch kind {
        case .route(let upstream): request.upstream = upstream
        case .rewrite(let path, let query):
            let (newPath, newQuery) = (path.map { render($0) }, query.map { render($0).replacing(" ", with: "%20") })
            if let newPath { request.path = newPath }
            if let newQuery { request.query = newQuery.isEmpty ? nil : newQuery }
        case .setHeader(let name, let value): write(name.lowercased(), render(value), replacing: true, phase)
        case .addHeader(let name, let value): write(name.lowercased(), render(value), replacing: false, phase)
        case .removeHeader(let name):
            if phase == .request { request.headers.removeAll { $0.name == name.lowercased() } }
            if phase == .response { request.responseHeaders.removeAll { $0.name == name.lowercased() } }
        case .setStatus(let status): request.status = Int(status)
        case .setVariable(let name, let value): request.variables[name] = render(value)
        case .stop: return "done"
        case .drop: return "drop"
        case .deny(let status): return answer(status, [])
        case .redirect(let to, let status): return answer(status, [("location", render(to))])
        default: return "unknown"
        }
        return nil
    }

    private mutating func answer(_ status: UInt16, _ headers: [(String, String)]) -> String {
        request.status = Int(status)
        request.responseHeaders = headers
        return "respond"
    }

    private mutating func write(_ name: String, _ value: String, replacing: Bool, _ phase: Phase) {
        if name == "host" {
            request.authority = value
            return
        }
        var list = phase == .request ? request.headers : request.responseHeaders
        if replacing, let first = list.firstIndex(where: { $0.name == name }) {
            list[first].value = value
            let rest = list[(first + 1)...].filter { $0.name != name }
            list = Array(list[...first]) + rest
        } else {
            list.append((name, value))
        }
        if phase == .request { request.headers = list } else { request.responseHeaders = list }
    }
}
