import Buffers
import HTTP
import Isolates

/// Fields that a request hook adds to an answer which is not there yet.
enum LaterFields {
    /// Bytes of all of one call.
    static let most = 16 << 10

    /// What a cordon wants to add, held to what a script may.
    static func checked(_ flat: [UInt8]) throws(WireError) -> [UInt8] {
        guard flat.count <= most else { throw WireError("fields of \(flat.count) bytes") }
        let parts = flat.split(separator: 10, omittingEmptySubsequences: false)
        guard parts.count % 2 == 1, parts.last?.isEmpty != false else { throw WireError("fields without their end") }
        for index in stride(from: 0, to: parts.count - 1, by: 2) {
            let name = Array(parts[index]), value = Array(parts[index + 1])
            guard isToken(name.span), isFieldValue(value.span), !FieldName(matching: name.span).isFraming else { throw WireError("a field that cannot be added") }
        }
        return flat
    }
}

extension HookOperations {
    /// `addLater(slot, epoch, name, value)`
    func addLater(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native)
        guard call.exchange != nil else { throw HookOperations.ended }
        let name = try native.latin1(2).array(), value = try native.latin1(3).array()
        guard isToken(name.span), isFieldValue(value.span) else { throw .typeError("a header that HTTP does not allow") }
        guard !FieldName(matching: name.span).isFraming else { throw .typeError("this header is the gateway's") }
        guard call.laterFields.count + name.count + value.count + 2 <= LaterFields.most else { throw .rangeError("more than \(LaterFields.most) bytes of headers") }
        call.laterFields += name + [10] + value + [10]
    }
}
