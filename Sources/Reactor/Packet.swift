/// Why bytes from another process or file could not be read.
public struct PacketError: Error, Sendable, Equatable, CustomStringConvertible {
    public let what: String
    /// Where in the bytes.
    public let offset: Int

    public var description: String { "\(what) at byte \(offset)" }
}

/// Writes length-prefixed values, little-endian.
public struct PacketWriter: Sendable {
    public private(set) var bytes: [UInt8] = []

    public init() {}

    public mutating func byte(_ value: UInt8) { bytes.append(value) }

    public mutating func number(_ value: UInt64) {
        for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    public mutating func count(_ value: Int) { number(UInt64(value)) }

    public mutating func data(_ value: [UInt8]) {
        count(value.count)
        bytes.append(contentsOf: value)
    }

    public mutating func string(_ value: String) {
        count(value.utf8.count)
        bytes.append(contentsOf: value.utf8)
    }

    public mutating func list<Element>(_ values: [Element], _ write: (inout PacketWriter, Element) -> Void) {
        count(values.count)
        for value in values { write(&self, value) }
    }
}

/// Reads what `PacketWriter` wrote. Every length is checked against what is there.
public struct PacketReader: Sendable {
    private let bytes: [UInt8]
    public private(set) var offset = 0

    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    public var remaining: Int { bytes.count - offset }

    public mutating func byte() throws(PacketError) -> UInt8 {
        guard remaining >= 1 else { throw PacketError(what: "ends early", offset: offset) }
        defer { offset += 1 }
        return bytes[offset]
    }

    public mutating func number() throws(PacketError) -> UInt64 {
        guard remaining >= 8 else { throw PacketError(what: "ends early", offset: offset) }
        var value: UInt64 = 0
        for index in 0..<8 { value |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
        offset += 8
        return value
    }

    /// A number of things that take at least one byte each.
    public mutating func count() throws(PacketError) -> Int {
        let at = offset
        let value = try number()
        guard value <= UInt64(remaining) else { throw PacketError(what: "length \(value) is beyond the end", offset: at) }
        return Int(value)
    }

    public mutating func data() throws(PacketError) -> [UInt8] {
        let count = try count()
        defer { offset += count }
        return Array(bytes[offset..<offset + count])
    }

    public mutating func string() throws(PacketError) -> String {
        let at = offset
        guard let text = String(validating: try data(), as: UTF8.self) else {
            throw PacketError(what: "text is not UTF-8", offset: at)
        }
        return text
    }

    public mutating func list<Element>(
        _ read: (inout PacketReader) throws(PacketError) -> Element
    ) throws(PacketError) -> [Element] {
        let count = try count()
        var result: [Element] = []
        result.reserveCapacity(count)
        for _ in 0..<count { result.append(try read(&self)) }
        return result
    }

    public func expectEnd() throws(PacketError) {
        if remaining != 0 { throw PacketError(what: "\(remaining) bytes too many", offset: offset) }
    }
}

/// FNV-1a, 64 bit: tells accidental change, not malice.
public struct Fingerprint: Sendable {
    public private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    public init() {}

    public mutating func add(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }
}
