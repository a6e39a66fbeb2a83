import Buffers
import HTTP
import Hooks
import Rules

/// What `sluice dev` adds to a worker: a line per request, and failures with the lines of source they happened in, in the
/// terminal and in the answer. Nothing of it runs elsewhere.
final class Developer {
    /// What failed in requests that are not answered yet, by id.
    private var failures: [String: String] = [:]
    private unowned let worker: Worker

    init(_ worker: Worker) {
        self.worker = worker
        worker.log.isPlain = true
    }

    /// A hook call failed.
    func failed(_ failure: HookFailure, request: String) {
        let excerpt = SourceExcerpt.text(source(failure), line: failure.line, column: failure.column)
        for line in excerpt.split(separator: "\n") { worker.log.write("info", "excerpt", String(line)) }
        if failures.count >= 64 { failures.removeAll() }
        failures[request] = "\(failure.description)\n\(excerpt)"
    }

    private func source(_ failure: HookFailure) -> String {
        let functions = worker.generation?.functions.functions ?? []
        return functions.first { $0.key.name == failure.function }?.key.modules[failure.file] ?? ""
    }

    /// The body of a stock answer: what went wrong, for whoever wrote it.
    func body(_ status: Int, _ runner: ExchangeRunner) -> [UInt8] {
        var text = String(decoding: worker.stockText(status), as: UTF8.self)
        if let failure = failures.removeValue(forKey: runner.requestID.text) {
            text += "\n\(failure)"
        } else if let error = runner.error {
            text += "\n\(error.note)\n"
        }
        return Array(text.utf8)
    }

    /// A request is over.
    func ended(_ runner: ExchangeRunner, microseconds: UInt64) {
        failures[runner.requestID.text] = nil
        guard let generation = runner.generation, runner.statusSent != 0 else { return }
        var text = "\(Developer.method(runner.request)) \(Developer.target(runner.request)) -> \(runner.statusSent) in \(Developer.milliseconds(microseconds))"
        let rules = runner.matchedRules.map { generation.rules.ruleID($0) }
        if !rules.isEmpty { text += "; rules \(rules.joined(separator: ", "))" }
        for call in runner.hookCalls where generation.configuration.functions.indices.contains(call.function) {
            text += "; \(generation.configuration.functions[call.function].name) \(call.outcome) (\(Developer.milliseconds(call.microseconds)))"
        }
        worker.log.write("info", "request", text)
    }

    private static func method(_ head: borrowing Head) -> String { head.bytes(head.methodName).text() }

    private static func target(_ head: borrowing Head) -> String {
        let path = head.bytes(head.path).text()
        return head.hasQuery ? "\(path)?\(head.bytes(head.query).text())" : path
    }

    static func milliseconds(_ microseconds: UInt64) -> String {
        let hundredths = (microseconds + 5) / 10
        let rest = hundredths % 100
        return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest) ms"
    }
}

/// The lines of a source around a place, with a mark under it.
enum SourceExcerpt {
    /// Empty when the place is not in the source. Lines are cut at 160 characters.
    static func text(_ source: String, line: Int, column: Int) -> String {
        let lines = source.split(separator: "\n", omittingEmptySubsequences: false)
        guard line > 0, lines.indices.contains(line - 1) else { return "" }
        let first = max(1, line - 2)
        let width = String(line).count
        var out = ""
        for number in first...line {
            let label = String(repeating: " ", count: width - String(number).count) + String(number)
            out += "  \(label) | \(lines[number - 1].prefix(160))\n"
        }
        guard column > 0, column <= 160 else { return out }
        // Tabs stay tabs, so that the mark stands where the character does.
        let before = lines[line - 1].prefix(column - 1).map { $0 == "\t" ? "\t" : " " }.joined()
        return out + "  \(String(repeating: " ", count: width)) | \(before)^\n"
    }
}
