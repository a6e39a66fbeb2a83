import Buffers
import Gateway
import HTTP
import HTTP1
import Rules
import Upstream

/// The answers of a test's origins, in turn.
final class OriginScript {
    private let answers: [TestAnswer]
    private var used: Set<Int> = []

    init(_ answers: [TestAnswer]) { self.answers = answers }

    /// The first answer for this request that was not given yet; the last one stays. Without any: an empty 200.
    func outcome(_ attempt: RehearsedAttempt) -> StagedOutcome {
        let own = answers.indices.filter { answers[$0].upstream == attempt.upstream }
        let candidates = own.isEmpty ? answers.indices.filter { answers[$0].upstream == nil } : own
        let fitting = candidates.filter { Self.fits(answers[$0], attempt) }
        guard let index = fitting.first(where: { !used.contains($0) }) ?? fitting.last else {
            return Self.outcome(TestAnswer(), attempt)
        }
        used.insert(index)
        return Self.outcome(answers[index], attempt)
    }

    private static func fits(_ answer: TestAnswer, _ attempt: RehearsedAttempt) -> Bool {
        if let method = answer.method, method != attempt.method { return false }
        return answer.path.map { Glob.matches(attempt.path, pattern: $0) } ?? true
    }

    private static func outcome(_ answer: TestAnswer, _ attempt: RehearsedAttempt) -> StagedOutcome {
        let note = "the test says so"
        switch answer.failure {
        case .dns: return .unreachable(.dns, note: note)
        case .connect: return .unreachable(.connect, note: note)
        case .connectTimeout: return .unreachable(.connectTimeout, note: note)
        case .tls: return .unreachable(.tls, note: note)
        case .timeout: return .plays([], end: .silence)
        case .reset: return .plays([], end: .reset)
        case .protocol: return .plays([StagedPart(delay: answer.delay, bytes: Array("not HTTP\r\n\r\n".utf8))], end: .close)
        case .cut: return .plays(parts(answer, attempt, cut: true), end: .reset)
        case nil: return .plays(parts(answer, attempt, cut: false), end: .silence)
        }
    }

    private static func parts(_ answer: TestAnswer, _ attempt: RehearsedAttempt, cut: Bool) -> [StagedPart] {
        let hasBody = answer.status >= 200 && answer.status != 204 && answer.status != 304
        let framed = answer.fields.contains { ["content-length", "transfer-encoding"].contains($0.name.lowercased()) }
        var head = "HTTP/1.1 \(answer.status) \(StatusName.of(answer.status))\r\n"
        for field in answer.fields { head += "\(field.name): \(field.value)\r\n" }
        // A body that is cut short must announce more than comes.
        if hasBody, !framed { head += "Content-Length: \(answer.body.count + (cut ? 1 : 0))\r\n" }
        head += "\r\n"
        var parts = [StagedPart(delay: answer.delay, bytes: Array(head.utf8))]
        guard hasBody, attempt.method != "HEAD" else { return parts }
        if answer.bodyDelay == 0 { parts[0].bytes += answer.body } else { parts.append(StagedPart(delay: answer.bodyDelay, bytes: answer.body)) }
        return parts
    }
}

/// `*` stands for any text.
enum Glob {
    static func matches(_ text: String, pattern: String) -> Bool {
        let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
        guard parts.count > 1, let first = parts.first, let last = parts.last else { return text == pattern }
        guard text.hasPrefix(first), text.count >= first.count + last.count, text.hasSuffix(last) else { return false }
        var rest = text.dropFirst(first.count).dropLast(last.count)
        for part in parts.dropFirst().dropLast() where !part.isEmpty {
            guard let found = rest.firstRange(of: part) else { return false }
            rest = rest[found.upperBound...]
        }
        return true
    }
}

/// Reason phrases for what is shown and played.
enum StatusName {
    static func of(_ status: Int) -> String { Span<UInt8>(StatusText.reason(status)).text() }
}
