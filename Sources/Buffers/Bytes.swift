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
        var at = 0
        while count &- at >= 8 {
            guard word(at: at) == other.word(at: at) else { return false }
            at &+= 8
        }
        // The last bytes of a long text are compared as part of its last eight.
        if count >= 8 { return at == count || word(at: count &- 8) == other.word(at: count &- 8) }
        while at < count {
            guard self[at] == other[at] else { return false }
            at &+= 1
        }
        return true
    }

    public func equals(_ text: StaticString) -> Bool {
        equals(Span(text))
    }

    /// Compares ASCII letters without case; other bytes must be the same.
    public func equalsIgnoringCase(_ other: borrowing Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        var at = 0
        while count &- at >= 8 {
            guard word(at: at).equalsIgnoringCase(other.word(at: at)) else { return false }
            at &+= 8
        }
        if at == count { return true }
        // The last bytes of a long text are compared as part of its last eight.
        if count >= 8 { return word(at: count &- 8).equalsIgnoringCase(other.word(at: count &- 8)) }
        while at < count {
            if lowercased(self[at]) != lowercased(other[at]) { return false }
            at &+= 1
        }
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
