import Buffers
import HTTP
import HTTP1

/// What a request gains and loses on its way to the origin (RFC 9110 section 7.6).
extension ExchangeRunner {
    /// How often a request may pass this gateway before it is taken for a loop.
    static let loopLimit = 3

    /// Brings the path into its one canonical form; rules and the origin see the same.
    func normalizePath() -> Bool {
        switch PathNormalizer.check(request) {
        case .clean: return true
        case .refused: return false
        case .needsWork:
            return PathNormalizer.normalize(&request)
        }
    }

    /// Sets what tells of the client, `X-Request-Id` and `Via`. False when the request goes in circles.
    func addForwardingFields() -> Bool {
        guard !ExchangeRunner.isLooping(request) else { return false }
        addClientFields()
        ExchangeRunner.addPassage(to: &request, requestID)
        return true
    }

    private static func addPassage(to head: inout Head, _ id: RequestID) {
        let digits = id.digits
        head.set(.xRequestID, digits.span)
        head.add(.via, head.version == .http2 ? "2.0 sluice" : "1.1 sluice")
    }

    private static func isLooping(_ head: borrowing Head) -> Bool {
        var passes = 0
        var index = 0
        while let next = head.firstIndex(of: .via, from: index) {
            if head.bytes(head.fields[next].value).firstRange(of: Span("sluice")) != nil { passes += 1 }
            index = next + 1
        }
        return passes >= ExchangeRunner.loopLimit
    }
}
