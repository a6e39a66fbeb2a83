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
            passes += ViaField.passes(head.bytes(head.fields[next].value), by: Span("sluice"))
            index = next + 1
        }
        return passes >= ExchangeRunner.loopLimit
    }
}

/// Who received a request on its way (RFC 9110 section 7.6.3). Proxies may join several of these fields into one.
enum ViaField {
    /// How many members of the list name this recipient.
    static func passes(_ value: borrowing Span<UInt8>, by name: borrowing Span<UInt8>) -> Int {
        var count = 0
        var at = 0
        while at < value.count {
            at = skip(value, at) { $0 == 32 || $0 == 9 || $0 == 44 }
            // The protocol, then whoever received it.
            at = skip(value, at) { $0 != 32 && $0 != 9 && $0 != 44 }
            at = skip(value, at) { $0 == 32 || $0 == 9 }
            let end = skip(value, at) { $0 != 32 && $0 != 9 && $0 != 44 }
            if value.extracting(at..<end).equals(name) { count += 1 }
            at = skip(value, end) { $0 != 44 }
        }
        return count
    }

    private static func skip(_ value: borrowing Span<UInt8>, _ from: Int, while matches: (UInt8) -> Bool) -> Int {
        var at = from
        while at < value.count, matches(value[at]) { at += 1 }
        return at
    }
}
