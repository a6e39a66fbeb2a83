/// Small questions about bytes, asked where text is compared without being copied.

@inline(__always)
public func lowercased(_ byte: UInt8) -> UInt8 {
    byte &- 65 < 26 ? byte | 0x20 : byte
}

extension Span where Element == UInt8 {
    /// The UTF-8 bytes of a static string.
    @_lifetime(immortal)
    public init(_ text: StaticString) {
        // SAFETY: a static string's code units live for ever.
        let span = unsafe Span(_unsafeStart: text.utf8Start, count: text.utf8CodeUnitCount)
        self = unsafe _overrideLifetime(span, copying: ())
    }

    public func equals(_ other: borrowing Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        for index in indices where self[index] != other[index] { return false }
        return true
    }

    public func equals(_ text: StaticString) -> Bool {
        equals(Span(text))
    }

    /// Compares ASCII letters without case; other bytes must be the same.
    public func equalsIgnoringCase(_ other: borrowing Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        for index in indices where lowercased(self[index]) != lowercased(other[index]) { return false }
        return true
    }

    public func equalsIgnoringCase(_ text: StaticString) -> Bool {
        equalsIgnoringCase(Span(text))
    }

    public func starts(with prefix: borrowing Span<UInt8>) -> Bool {
        guard count >= prefix.count else { return false }
        for index in prefix.indices where self[index] != prefix[index] { return false }
        return true
    }

    public func ends(with suffix: borrowing Span<UInt8>) -> Bool {
        guard count >= suffix.count else { return false }
        let offset = count - suffix.count
        for index in suffix.indices where self[offset + index] != suffix[index] { return false }
        return true
    }

    /// The offset of the first `byte` at or after `from`, or nil.
    public func firstIndex(of byte: UInt8, from: Int = 0) -> Int? {
        var index = from
        while index < count {
            if self[index] == byte { return index }
            index += 1
        }
        return nil
    }

    /// The offset of the first byte below 0x20 or equal to 0x7f (a control byte, tab included) at or after `from`, or
    /// `count`. Looks at eight bytes at a time.
    @inline(__always)
    public func firstControl(from: Int) -> Int {
        precondition(from >= 0 && from <= count)
        var at = from
        while count &- at >= 8 {
            // SAFETY: at least eight bytes are left at `at`, which is not negative.
            let word = unsafe UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: at, as: UInt64.self))
            // A byte's top bit becomes set where it is below 0x20 or is 0x7f. A borrow can set bits above the first hit only.
            let below = (word &- 0x2020_2020_2020_2020) & ~word
            let delete = word ^ 0x7f7f_7f7f_7f7f_7f7f
            let hits = (below | ((delete &- 0x0101_0101_0101_0101) & ~delete)) & 0x8080_8080_8080_8080
            if hits != 0 { return at &+ hits.trailingZeroBitCount / 8 }
            at &+= 8
        }
        while at < count, self[at] >= 32, self[at] != 127 { at &+= 1 }
        return at
    }

    /// The offset of the first occurrence of `needle`, or nil. An empty needle is at 0.
    public func firstRange(of needle: borrowing Span<UInt8>) -> Int? {
        guard needle.count > 0 else { return 0 }
        guard count >= needle.count else { return nil }
        var start = 0
        let last = count - needle.count
        while start <= last {
            if self[start] == needle[0] && matches(needle, at: start) { return start }
            start += 1
        }
        return nil
    }

    private func matches(_ needle: borrowing Span<UInt8>, at offset: Int) -> Bool {
        for index in needle.indices where self[offset + index] != needle[index] { return false }
        return true
    }

    /// A number of decimal digits only (no sign, no space), or nil. At most 18 digits.
    public func decimal() -> Int? {
        guard count > 0, count <= 18 else { return nil }
        var value = 0
        for index in indices {
            let digit = self[index] &- 48
            guard digit < 10 else { return nil }
            value = value &* 10 &+ Int(digit)
        }
        return value
    }

    /// The span without spaces and tabs at both ends (RFC 9110 section 5.6.3, OWS).
    @_lifetime(copy self)
    public func trimmingOWS() -> Span<UInt8> {
        var from = 0
        var to = count
        while from < to, self[from] == 32 || self[from] == 9 { from += 1 }
        while to > from, self[to - 1] == 32 || self[to - 1] == 9 { to -= 1 }
        return extracting(from..<to)
    }

    /// The bytes as text; invalid UTF-8 is repaired. Not for the data path.
    public func text() -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        for index in indices { bytes.append(self[index]) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The bytes as an array. Not for the data path.
    public func array() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        for index in indices { bytes.append(self[index]) }
        return bytes
    }
}
