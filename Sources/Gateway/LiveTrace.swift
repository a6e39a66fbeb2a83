import Buffers
import HTTP
import Reactor
import Rules
import TLS

/// Who may have a live request explained: the holder of the key of `debug:`, by a header that is signed and expires.
///
///     Sluice-Trace: <expires, seconds since 1970>-<HMAC-SHA-256 of "sluice-trace:<expires>", hexadecimal>
///
/// `Sluice-Inspect` is made the same way with its own name: one does not stand for the other.
public struct TraceKey: Sendable {
    public static let header = "sluice-trace"
    /// Of requests for inspected functions.
    public static let inspectHeader = "sluice-inspect"
    /// Furthest in the future that a header may expire: a leaked one is of little use. Seconds.
    public static let longestLife = 86_400
    /// Shorter keys can be guessed. Bytes.
    public static let shortestKey = 32
    private let key: [UInt8]

    /// nil: the key is too short.
    public init?(_ key: [UInt8]) {
        var key = key
        while let last = key.last, last == 0x0a || last == 0x0d { key.removeLast() }
        guard key.count >= TraceKey.shortestKey else { return nil }
        self.key = key
    }

    /// The header's value.
    public func sign(expires: Int, _ header: String = TraceKey.header) -> String {
        "\(expires)-\(code(expires, header).map { TraceKey.hex($0) }.joined())"
    }

    /// Whether a value was made with this key and has not expired. Takes no longer for a value that is nearly right.
    public func accepts(_ value: String, now: Int, _ header: String = TraceKey.header) -> Bool {
        guard value.utf8.count <= 128, let dash = value.firstIndex(of: "-"), let expires = Int(value[..<dash]),
            expires > now, expires - now <= TraceKey.longestLife
        else { return false }
        return MessageCode.areEqual(Array(sign(expires: expires, header).utf8), Array(value.utf8))
    }

    private func code(_ expires: Int, _ header: String) -> [UInt8] {
        MessageCode.make(key: key, text: Array("\(header):\(expires)".utf8)) ?? []
    }

    private static func hex(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }
}

/// What tracing needs of a generation; made only when `debug:` is configured.
final class LiveTracing {
    let key: TraceKey
    private let rules: Generation
    /// Made by the first request that is traced: it takes every condition apart.
    private lazy var explainer = Explainer(rules)

    /// - Throws: when the key cannot be used; says where it is named.
    init?(_ configuration: Configuration, rules: Generation, files: FileBundle) throws {
        guard let debug = configuration.debug else { return nil }
        guard let key = TraceKey(files.files[debug.key.path] ?? []) else {
            throw GenerationError(
                description: "\(configuration.describe(debug.key.position)): the key \(debug.key.path) has fewer than "
                    + "\(TraceKey.shortestKey) bytes; make one with `head -c 32 /dev/urandom | base64`")
        }
        self.key = key
        self.rules = rules
    }

    /// A trace when the request carries a good header. The header goes no further either way.
    func begin(_ request: inout Head, now: Int) -> RuleTrace? {
        guard let range = request.value(of: .sluiceTrace) else { return nil }
        let isGood = key.accepts(request.text(range), now: now)
        request.remove(.sluiceTrace)
        return isGood ? RuleTrace(explainer) : nil
    }
}

extension ExchangeRunner {
    /// Explains this request when a signed header asks for it.
    func beginTrace(_ tracing: LiveTracing) { rules.trace = tracing.begin(&request, now: worker.wallSeconds) }

    /// Tells the client where to look: the trace itself goes to the operator's log only.
    func markTraced() {
        let id = requestID.digits
        let name = Array("sluice-trace-id".utf8)
        response.set(name: name.span, value: id.span)
    }

    func logTrace(_ trace: RuleTrace) {
        worker.log.write("info", "trace", trace.json, [("request", requestID.text), ("status", String(statusSent))])
    }
}
