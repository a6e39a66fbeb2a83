import Buffers
import HTTP

/// What RFC 9113 section 8.2 asks of every field of a request. nghttp2 does not look at them (`makeServerSession`): its checks
/// take a step for each byte, these one for sixteen.
enum FieldRules {
    /// A token without capitals (section 8.2.1). The colon of a pseudo-field is none.
    static func isName(_ name: borrowing Span<UInt8>) -> Bool {
        for index in name.indices where !ASCIISet.lowerToken.contains(name[index]) { return false }
        return !name.isEmpty
    }

    /// No control byte but the tab, and no blank at either end (section 8.2.1, RFC 9110 section 5.5).
    static func isValue(_ value: borrowing Span<UInt8>) -> Bool {
        let count = value.count
        guard count > 0 else { return true }
        guard !isBlank(value[0]), !isBlank(value[count &- 1]) else { return false }
        return value.endOfText(from: 0) == count
    }

    /// The field says something of one connection, which HTTP/2 says otherwise (section 8.2.2); `TE: trailers` is let pass.
    static func isOfConnection(_ id: FieldName, _ value: borrowing Span<UInt8>) -> Bool {
        switch id {
        case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade, .http2Settings: true
        case .te: !value.equalsIgnoringCase("trailers")
        default: false
        }
    }

    @inline(__always)
    private static func isBlank(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 }
}
