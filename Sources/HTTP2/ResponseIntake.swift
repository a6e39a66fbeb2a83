import Buffers
import HTTP

/// Builds a response head from decoded fields and holds it to RFC 9113 section 8 and to our limits.
///
/// nghttp2 has checked names, values, the order and number of pseudo-fields, and lengths against DATA.
struct ResponseIntake {
    private var bytes = 0
    private var length: Int?
    /// False: the head is malformed or too large.
    private(set) var isSound = true

    /// Takes one field. False: the stream is to be reset.
    mutating func take(
        _ name: borrowing Span<UInt8>, _ value: borrowing Span<UInt8>, into head: inout Head, _ limits: HTTP2Limits
    ) -> Bool {
        guard isSound else { return true }
        bytes += name.count + value.count + 32
        isSound =
            bytes <= limits.headerListBytes && head.fields.count < limits.headerFields
            && name.count + value.count <= limits.fieldBytes && store(name, value, &head)
        return isSound
    }

    private mutating func store(_ name: borrowing Span<UInt8>, _ value: borrowing Span<UInt8>, _ head: inout Head) -> Bool {
        if name.equals(":status") {
            guard value.count == 3, let status = value.decimal(), (100...599).contains(status), status != 101 else { return false }
            head.status = status
            return true
        }
        let nameRange = head.arena.append(name)
        head.appendField(name: nameRange, value: head.arena.append(value))
        guard head.fields[head.fields.count - 1].id == .contentLength else { return true }
        guard length == nil, let count = value.decimal() else { return false }
        length = count
        return true
    }

    /// Decides on the body what the head alone shows; the caller knows the method.
    /// - Returns: false when there was no status.
    func complete(_ head: inout Head) -> Bool {
        head.version = .http2
        head.body = length.map { .known($0) } ?? .unknown
        return isSound && head.status != 0
    }
}
