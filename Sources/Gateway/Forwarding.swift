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

    /// Sets `X-Forwarded-*`, `X-Request-Id` and `Via`. False when the request goes in circles.
    func addForwardingFields() -> Bool {
        ExchangeRunner.addForwardingFields(to: &request, from: client.address, host: original.authority, id: requestID)
    }

    private static func addForwardingFields(to head: inout Head, from client: IPAddress, host: ByteRange, id: RequestID) -> Bool {
        guard !isLooping(head) else { return false }
        let address = client.append(to: &head.arena)
        head.set(.xForwardedFor, range: address)
        head.set(.xForwardedProto, head.scheme == .https ? "https" : "http")
        let hostCopy = head.arena.append(copyOf: host)
        head.set(.xForwardedHost, range: hostCopy)
        let digits = id.digits
        head.set(.xRequestID, digits.span)
        head.add(.via, head.version == .http2 ? "2.0 sluice" : "1.1 sluice")
        return true
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
