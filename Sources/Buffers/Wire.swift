/// Messages between two processes of one program, one of which may have been taken over: fixed little-endian numbers
/// and length-prefixed bytes, written into one arena and read with every length checked.
public struct WireWriter: ~Copyable {
    public private(set) var arena: ByteArena
    private var messageStart = 0

    public init(capacity: Int = 4096) { arena = ByteArena(capacity: capacity) }

    public var count: Int { arena.count }
    public mutating func removeAll() { arena.removeAll() }
    /// Drops what has been taken. Between messages.
    public mutating func removeFirst(_ count: Int) {
        var rest = ByteArena(capacity: arena.count - count + 4096)
        _ = rest.append(arena[arena.range(since: count)])
        swap(&rest, &arena)
    }

    /// Begins a message: its length is filled in by `end`.
    public mutating func begin(_ kind: UInt8) {
        messageStart = arena.count
        number32(0)
        arena.append(byte: kind)
    }

    /// Ends the message begun last.
    public mutating func end() {
        let length = UInt32(truncatingIfNeeded: arena.count - messageStart - 4)
        for index in 0..<4 { arena[messageStart + index] = UInt8(truncatingIfNeeded: length >> UInt32(8 * index)) }
    }

    public mutating func byte(_ value: UInt8) { arena.append(byte: value) }
    public mutating func flag(_ value: Bool) { arena.append(byte: value ? 1 : 0) }

    public mutating func number32(_ value: UInt32) {
        // At once: a head has thirty numbers, and one append costs as much for four bytes as for one.
        var digits = InlineArray<4, UInt8>(repeating: 0)
        for index in 0..<4 { digits[index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index)) }
        _ = arena.append(digits.span)
    }

    public mutating func number(_ value: UInt64) {
        var digits = InlineArray<8, UInt8>(repeating: 0)
        for index in 0..<8 { digits[index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
        _ = arena.append(digits.span)
    }

    public mutating func bytes(_ value: borrowing Span<UInt8>) {
        number32(UInt32(clamping: value.count))
        _ = arena.append(value)
    }

    /// Bytes alone, for which the length was written before.
    public mutating func raw(_ value: borrowing Span<UInt8>) { _ = arena.append(value) }

    public mutating func array(_ value: [UInt8]) { bytes(value.span) }

    /// What another writer holds, without a length.
    public mutating func appendRaw(_ other: borrowing WireWriter) {
        _ = arena.append(other.arena[other.arena.range(since: 0)])
    }

    public mutating func string(_ value: String) {
        number32(UInt32(clamping: value.utf8.count))
        _ = arena.append(value)
    }
}

/// A message that ends early, or a value outside its range.
public struct WireError: Error, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// Reads what `WireWriter` wrote into one message.
public struct WireReader: ~Copyable, ~Escapable {
    public let bytes: Span<UInt8>
    private var offset = 0

    @_lifetime(copy bytes)
    public init(_ bytes: Span<UInt8>) { self.bytes = bytes }

    public var remaining: Int { bytes.count - offset }

    public mutating func byte() throws(WireError) -> UInt8 {
        guard remaining >= 1 else { throw WireError("a message ends early") }
        offset += 1
        return bytes[offset - 1]
    }

    public mutating func flag() throws(WireError) -> Bool {
        let value = try byte()
        guard value <= 1 else { throw WireError("\(value) is no flag") }
        return value == 1
    }

    public mutating func number32() throws(WireError) -> UInt32 {
        guard remaining >= 4 else { throw WireError("a message ends early") }
        var value: UInt32 = 0
        for index in 0..<4 { value |= UInt32(bytes[offset + index]) << UInt32(8 * index) }
        offset += 4
        return value
    }

    public mutating func number() throws(WireError) -> UInt64 {
        let low = try number32()
        return UInt64(try number32()) << 32 | UInt64(low)
    }

    /// A count of things of which each takes at least `size` bytes.
    public mutating func count(ofAtLeast size: Int = 1) throws(WireError) -> Int {
        let value = Int(try number32())
        guard value <= remaining / size else { throw WireError("a length goes beyond its message") }
        return value
    }

    /// The range of a byte string in `bytes`.
    public mutating func data() throws(WireError) -> Range<Int> {
        let count = try count()
        offset += count
        return offset - count..<offset
    }

    public mutating func array() throws(WireError) -> [UInt8] { bytes.extracting(try data()).array() }

    /// UTF-8; malformed parts become U+FFFD.
    public mutating func string() throws(WireError) -> String { String(decoding: try array(), as: UTF8.self) }

    public func expectEnd() throws(WireError) {
        if remaining != 0 { throw WireError("\(remaining) bytes too many") }
    }
}
