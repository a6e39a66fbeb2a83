import Buffers
import CNghttp2
import HTTP

/// The fields of one head as nghttp2 wants them, for as long as it takes to hand them over.
@safe struct FieldVectors: ~Copyable {
    private let base: UnsafeMutablePointer<nghttp2_nv>
    private let capacity: Int
    /// Behind the vectors: text that no head has in one piece.
    private let text: UnsafeMutablePointer<UInt8>
    private let textRoom: Int
    private var used = 0

    /// - Parameter head: the one that `fill` will be given.
    init(_ head: borrowing Head) {
        // A head's own fields and at most seven more, see `fillRequest`.
        capacity = head.fields.count + 7
        // The status, or target, `?` and a length.
        textRoom = Int(head.path.count) + Int(head.query.count) + 24
        let bytes = unsafe capacity * MemoryLayout<nghttp2_nv>.stride
        // SAFETY: as large as asked for and aligned for anything; given back in deinit.
        guard let memory = unsafe sluice_nghttp2_take(bytes + textRoom) else { preconditionFailure("no memory for a head") }
        unsafe base = memory.assumingMemoryBound(to: nghttp2_nv.self)
        unsafe text = (memory + bytes).assumingMemoryBound(to: UInt8.self)
    }

    deinit {
        // SAFETY: nghttp2 has copied what it was given.
        unsafe sluice_nghttp2_give(base)
    }

    /// Lends the vectors: they end with this value, which may be right after its last use.
    // SAFETY: this value is borrowed, and so alive, until `body` has ended; what vectors point at is the callers' as `fill` says.
    @inline(__always)
    borrowing func lend<Result>(_ body: (UnsafeMutablePointer<nghttp2_nv>) -> Result) -> Result { unsafe body(base) }

    /// Points at `head`'s fields, without those that HTTP/2 forbids (RFC 9113 section 8.2.2).
    /// The pointers are good while the head is borrowed by the caller.
    /// - Parameter status: nil for trailers.
    mutating func fill(_ head: borrowing Head, status: Int?) -> Int {
        var count = 0
        if let status {
            // SAFETY: static text and ours stay as they are until nghttp2 has copied them.
            unsafe set(0, FieldVectors.bytes(Span(":status")), append(status: status))
            count = 1
        }
        for field in head.fields where !field.id.isHopByHop && !field.name.isEmpty {
            // SAFETY: so does the head, which the caller borrows.
            unsafe set(count, FieldVectors.bytes(head.bytes(field.name)), FieldVectors.bytes(head.bytes(field.value)))
            count += 1
        }
        return count
    }

    /// Points at a request's pseudo-fields and fields. Those that belong to one connection, Host and Expect stay behind;
    /// the length goes by `head.body`.
    /// - Parameter webSocket: an upgrade that goes as extended CONNECT, which knows no key (RFC 8441 section 5).
    mutating func fillRequest(_ head: borrowing Head, secure: Bool, webSocket: Bool = false) -> Int {
        let target = unsafe appendTarget(head)
        // SAFETY: as `set` and `bytes` say: heads, static text and ours stay as they are until nghttp2 has copied them.
        unsafe set(0, FieldVectors.bytes(Span(":method")), FieldVectors.bytes(webSocket ? Span("CONNECT") : head.bytes(head.methodName)))
        unsafe set(1, FieldVectors.bytes(Span(":scheme")), FieldVectors.bytes(secure ? Span("https") : Span("http")))
        unsafe set(2, FieldVectors.bytes(Span(":authority")), FieldVectors.bytes(head.bytes(head.authority)))
        unsafe set(3, FieldVectors.bytes(Span(":path")), target)
        var count = 4
        if webSocket {
            // SAFETY: see above.
            unsafe set(count, FieldVectors.bytes(Span(":protocol")), FieldVectors.bytes(Span("websocket")))
            count += 1
        }
        // SAFETY: see above.
        for field in head.fields where FieldVectors.travels(field) {
            if webSocket, field.id == .other, head.bytes(field.name).equalsIgnoringCase("Sec-WebSocket-Key") { continue }
            unsafe set(count, FieldVectors.bytes(head.bytes(field.name)), FieldVectors.bytes(head.bytes(field.value)))
            count += 1
        }
        if case .known(let length) = head.body {
            // SAFETY: see above.
            unsafe set(count, FieldVectors.bytes(Span("content-length")), append(decimal: length))
            count += 1
        }
        guard FieldVectors.takesTrailers(head) else { return count }
        // SAFETY: see above.
        unsafe set(count, FieldVectors.bytes(Span("te")), FieldVectors.bytes(Span("trailers")))
        return count + 1
    }

    private static func travels(_ field: Field) -> Bool {
        switch field.id {
        case .host, .expect, .contentLength, .proxyAuthorization: false
        default: !field.id.isHopByHop && !field.name.isEmpty
        }
    }

    /// `TE: trailers` is the one value that HTTP/2 knows, and gRPC asks for it (RFC 9113 section 8.2.2).
    private static func takesTrailers(_ head: borrowing Head) -> Bool {
        head.value(of: .te).map { head.bytes($0).firstRange(of: Span("trailers")) != nil } ?? false
    }

    // MARK: Text

    private mutating func appendTarget(_ head: borrowing Head) -> UnsafeBufferPointer<UInt8> {
        let start = used
        // SAFETY: three pieces, each behind the other.
        unsafe append(head.bytes(head.path))
        if head.hasQuery { unsafe append(Span("?")) }
        unsafe append(head.bytes(head.query))
        // SAFETY: what was just written.
        return unsafe UnsafeBufferPointer(start: text + start, count: used - start)
    }

    private mutating func append(status: Int) -> UnsafeBufferPointer<UInt8> {
        var digits = InlineArray<3, UInt8>(repeating: 48)
        digits[0] = UInt8(truncatingIfNeeded: 48 + status / 100 % 10)
        digits[1] = UInt8(truncatingIfNeeded: 48 + status / 10 % 10)
        digits[2] = UInt8(truncatingIfNeeded: 48 + status % 10)
        // SAFETY: what is returned is ours, not the digits.
        return unsafe append(digits.span)
    }

    private mutating func append(decimal number: Int) -> UnsafeBufferPointer<UInt8> {
        var digits: InlineArray<20, UInt8> = .init(repeating: 48)
        var left = number
        var at = 20
        repeat {
            at -= 1
            digits[at] = UInt8(48 + left % 10)
            left /= 10
        } while left > 0
        // SAFETY: as above.
        return unsafe append(digits.span.extracting(at..<20))
    }

    @discardableResult
    private mutating func append(_ bytes: borrowing Span<UInt8>) -> UnsafeBufferPointer<UInt8> {
        precondition(bytes.count <= textRoom - used)
        let start = unsafe text + used
        // SAFETY: just checked; the span is not ours.
        unsafe bytes.withUnsafeBytes { source in
            if let from = source.baseAddress { unsafe UnsafeMutableRawPointer(start).copyMemory(from: from, byteCount: source.count) }
        }
        used += bytes.count
        return unsafe UnsafeBufferPointer(start: start, count: bytes.count)
    }

    // SAFETY: the pointer leaves the closure; callers use it only while the span's owner is borrowed.
    private static func bytes(_ span: borrowing Span<UInt8>) -> UnsafeBufferPointer<UInt8> {
        unsafe span.withUnsafeBufferPointer { unsafe $0 }
    }

    private func set(_ index: Int, _ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>) {
        precondition(index < capacity)
        // SAFETY: just checked; nghttp2 does not write through these pointers.
        unsafe (base + index).initialize(
            to: nghttp2_nv(
                name: UnsafeMutablePointer(mutating: name.baseAddress), value: UnsafeMutablePointer(mutating: value.baseAddress),
                namelen: name.count, valuelen: value.count, flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue)))
    }
}
