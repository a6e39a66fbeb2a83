import Buffers

/// What a message carries, by its content type.
extension Head {
    /// Whether the content type begins so.
    public borrowing func hasType(_ start: StaticString) -> Bool {
        guard let type = value(of: .contentType) else { return false }
        return bytes(type).begins(with: start)
    }

    /// gRPC itself: what begins alike (`application/grpc-web`) has statuses of HTTP.
    public var isGRPC: Bool {
        guard let type = value(of: .contentType) else { return false }
        let text = bytes(type)
        guard text.begins(with: "application/grpc") else { return false }
        return text.count == 16 || text[16] == UInt8(ascii: "+") || text[16] == UInt8(ascii: ";")
    }
}

extension Span where Element == UInt8 {
    fileprivate func begins(with start: StaticString) -> Bool {
        let length = start.utf8CodeUnitCount
        return count >= length && extracting(first: length).equalsIgnoringCase(start)
    }
}
