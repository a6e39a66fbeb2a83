/// An IPv4 or IPv6 address as numbers.
///
/// IPv4 is kept in the low 32 bits of `low`; an IPv4-mapped IPv6 address becomes IPv4, so that one
/// peer has one spelling whichever socket it came through.
public struct IPAddress: Sendable, Hashable {
    public let isV6: Bool
    public let high: UInt64
    public let low: UInt64

    public static let unspecified = IPAddress(v4: 0)

    public init(v4: UInt32) {
        self.init(isV6: false, high: 0, low: UInt64(v4))
    }

    public init(v6High: UInt64, v6Low: UInt64) {
        if v6High == 0 && v6Low >> 32 == 0xffff {
            self.init(v4: UInt32(truncatingIfNeeded: v6Low))
        } else {
            self.init(isV6: true, high: v6High, low: v6Low)
        }
    }

    private init(isV6: Bool, high: UInt64, low: UInt64) {
        self.isV6 = isV6
        self.high = high
        self.low = low
    }

    /// Parses dotted decimal or RFC 4291 text; nil when it is neither.
    public init?(_ text: String) {
        let parsed = text.contains(":") ? IPAddress.parseV6(text) : IPAddress.parseV4(text).map { IPAddress(v4: $0) }
        guard let parsed else { return nil }
        self = parsed
    }

    private static func parseV4(_ text: some StringProtocol) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard let byte = UInt8(part), part.utf8.allSatisfy({ $0 &- 48 < 10 }), part.count == 1 || part.first != "0" else { return nil }
            value = value << 8 | UInt32(byte)
        }
        return value
    }

    private static func parseV6(_ text: String) -> IPAddress? {
        let halves = text.split(separator: "::", maxSplits: 2, omittingEmptySubsequences: false)
        guard halves.count <= 2, let head = groups(halves[0]) else { return nil }
        guard halves.count == 2 else { return head.count == 8 ? IPAddress(groups: head) : nil }
        guard let tail = groups(halves[1]), head.count + tail.count <= 7 else { return nil }
        let zeros = [UInt16](repeating: 0, count: 8 - head.count - tail.count)
        return IPAddress(groups: head + zeros + tail)
    }

    private static func groups(_ text: Substring) -> [UInt16]? {
        if text.isEmpty { return [] }
        var groups: [UInt16] = []
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if index == parts.count - 1, part.contains(".") {
                guard let v4 = parseV4(part) else { return nil }
                groups.append(UInt16(v4 >> 16))
                groups.append(UInt16(v4 & 0xffff))
            } else {
                guard part.count <= 4, !part.isEmpty, part.utf8.allSatisfy({ isHex($0) }), let group = UInt16(part, radix: 16) else { return nil }
                groups.append(group)
            }
        }
        return groups.count <= 8 ? groups : nil
    }

    private static func isHex(_ byte: UInt8) -> Bool {
        byte &- 48 < 10 || (byte | 0x20) &- 97 < 6
    }

    private init(groups: [UInt16]) {
        var words: [UInt64] = [0, 0]
        for (index, group) in groups.enumerated() { words[index / 4] = words[index / 4] << 16 | UInt64(group) }
        self.init(v6High: words[0], v6Low: words[1])
    }

    /// Appends the text form (RFC 5952 for IPv6) to `arena`.
    public func append(to arena: inout ByteArena) -> ByteRange {
        let mark = arena.count
        if isV6 { appendV6(&arena) } else { appendV4(&arena) }
        return arena.range(since: mark)
    }

    public var text: String {
        var arena = ByteArena(capacity: 64)
        let range = append(to: &arena)
        return arena[range].text()
    }

    private func appendV4(_ arena: inout ByteArena) {
        var shift: UInt64 = 32
        while shift > 0 {
            shift -= 8
            let byte = UInt8(truncatingIfNeeded: low >> shift)
            if byte >= 100 { arena.append(byte: 48 + byte / 100) }
            if byte >= 10 { arena.append(byte: 48 + byte / 10 % 10) }
            arena.append(byte: 48 + byte % 10)
            if shift != 0 { arena.append(byte: 46) }
        }
    }

    private func group(_ index: Int) -> UInt16 {
        let word = index < 4 ? high : low
        return UInt16(truncatingIfNeeded: word >> UInt64(48 - 16 * (index % 4)))
    }

    private func appendV6(_ arena: inout ByteArena) {
        let (zeroStart, zeroCount) = longestZeros()
        var index = 0
        while index < 8 {
            if index == zeroStart {
                arena.append(byte: 58)
                arena.append(byte: 58)
                index += zeroCount
                continue
            }
            let followsZeros = zeroCount > 0 && index == zeroStart + zeroCount
            if index > 0, !followsZeros { arena.append(byte: 58) }
            appendHex(group(index), &arena)
            index += 1
        }
    }

    private func longestZeros() -> (Int, Int) {
        var best = (start: -1, count: 0)
        var index = 0
        while index < 8 {
            var length = 0
            while index + length < 8, group(index + length) == 0 { length += 1 }
            if length > 1, length > best.count { best = (index, length) }
            index += max(length, 1)
        }
        return (best.start, best.count)
    }

    private func appendHex(_ group: UInt16, _ arena: inout ByteArena) {
        var started = false
        for shift in stride(from: 12, through: 0, by: -4) {
            let nibble = UInt8(truncatingIfNeeded: group >> UInt16(shift)) & 15
            if nibble == 0, !started, shift > 0 { continue }
            started = true
            arena.append(byte: nibble < 10 ? 48 + nibble : 87 + nibble)
        }
    }

    /// True when the address lies in `network`/`prefixLength`.
    public func isIn(_ network: IPAddress, prefixLength: Int) -> Bool {
        guard isV6 == network.isV6 else { return false }
        if !isV6 {
            guard prefixLength > 0 else { return true }
            let shift = UInt64(32 - min(prefixLength, 32))
            return low >> shift == network.low >> shift
        }
        if prefixLength <= 64 {
            guard prefixLength > 0 else { return true }
            return high >> UInt64(64 - prefixLength) == network.high >> UInt64(64 - prefixLength)
        }
        let shift = UInt64(128 - min(prefixLength, 128))
        return high == network.high && low >> shift == network.low >> shift
    }
}
