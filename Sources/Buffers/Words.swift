import CLinux

/// What `caselessKey` makes of a short text.
public struct CaselessKey: Sendable, Equatable {
    let count: Int
    let first: UInt64
    let last: UInt64
    let middle: UInt64

    @inline(__always)
    init(_ count: Int, _ first: UInt64, _ last: UInt64, _ middle: UInt64) {
        self.count = count
        self.first = first
        self.last = last
        self.middle = middle
    }

    /// Equals the key of no text.
    public static let none = CaselessKey(0, 0, 0, 0)

    @inline(__always)
    public static func == (a: CaselessKey, b: CaselessKey) -> Bool {
        a.count == b.count && (a.first ^ b.first) | (a.last ^ b.last) | (a.middle ^ b.middle) == 0
    }
}

/// Where the parts of a field line lie: the offsets of its colon, of its text and of the CRLF behind that.
public struct FieldLine {
    public let colon: Int
    public let value: Int
    public let end: Int
}

/// Questions about text that are answered several bytes at a time.
///
/// Heads are mostly names, targets and values in which every byte has to be looked at once; a loop over single bytes
/// costs five times the instructions.
extension Span where Element == UInt8 {
    /// Eight bytes, the first in the low bits.
    /// - Precondition: eight bytes are left at `offset`.
    @inline(__always)
    func word(at offset: Int) -> UInt64 {
        precondition(offset >= 0 && count &- offset >= 8)
        // SAFETY: just checked.
        return unsafe UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self))
    }

    /// The offset of the first control byte (below 0x20, tab included, or 0x7f) at or after `from`, or `count`.
    public func firstControl(from: Int) -> Int {
        precondition(from >= 0 && from <= count)
        // SAFETY: C reads the bytes from `from` to the end of the span and nothing else.
        return unsafe withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return from }
            return unsafe from &+ sluice_first_control(base + from, bytes.count &- from)
        }
    }

    /// The offset of the first control byte but the tab at or after `from`, or `count`: where the text of a field ends (RFC 9110 section 5.5).
    @inline(__always)
    public func endOfText(from: Int) -> Int {
        var at = firstControl(from: from)
        while at < count, self[at] == 9 { at = firstControl(from: at &+ 1) }
        return at
    }

    /// The offset of the first byte at or after `from` that is no ASCII letter, digit or `-`, or `count`.
    public func endOfName(from: Int) -> Int {
        precondition(from >= 0 && from <= count)
        // SAFETY: C reads the bytes from `from` to the end of the span and nothing else.
        return unsafe withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return from }
            return unsafe from &+ sluice_end_of_name(base + from, bytes.count &- from)
        }
    }

    /// The line that begins at `from`, if it is of the form in which nearly all are sent: a name of letters, digits and `-`, a colon, one
    /// space, text that neither begins nor ends with a blank and has no tab, CRLF. Anything else is nil: good, bad or not whole.
    @inline(__always)
    public func usualLine(from: Int) -> FieldLine? {
        precondition(from >= 0 && from <= count)
        // SAFETY: C reads the bytes from `from` to the end of the span and nothing else.
        let line = unsafe withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return sluice_field_line() }
            return unsafe sluice_usual_line(base, bytes.count, from)
        }
        return line.end == 0 ? nil : FieldLine(colon: line.colon, value: line.value, end: line.end)
    }

    /// The `caselessKey` of a name in which every byte is a letter, a digit or `-`: one bit is all that tells its capitals from the others.
    @inline(__always)
    public var nameKey: CaselessKey {
        let key = exactKey
        let small: UInt64 = 0x2020_2020_2020_2020
        if count >= 8 { return CaselessKey(count, key.first | small, key.last | small, count > 16 ? key.middle | small : 0) }
        return CaselessKey(count, key.first | (count >= 4 ? small : small >> 40), 0, 0)
    }

    /// A text of 2 to 19 bytes in lower case as three words and its length: equal keys mean equal texts without case.
    @inline(__always)
    public var caselessKey: CaselessKey {
        let key = exactKey
        return CaselessKey(key.count, key.first.lowercased, key.last.lowercased, key.middle.lowercased)
    }

    /// The same of the text as it is: equal to another's `caselessKey` where this is that text in lower case.
    @inline(__always)
    public var exactKey: CaselessKey {
        precondition(count >= 2 && count <= 19)
        if count >= 8 { return CaselessKey(count, word(at: 0), word(at: count &- 8), count > 16 ? word(at: 8) : 0) }
        // Words that overlap hold every byte.
        if count >= 4 { return CaselessKey(count, halfWord(at: 0) | halfWord(at: count &- 4) << 32, 0, 0) }
        return CaselessKey(count, UInt64(self[0]) | UInt64(self[1]) << 8 | UInt64(self[count &- 1]) << 16, 0, 0)
    }

    /// Four bytes, the first in the low bits.
    /// - Precondition: four bytes are left at `offset`.
    @inline(__always)
    private func halfWord(at offset: Int) -> UInt64 {
        precondition(offset >= 0 && count &- offset >= 4)
        // SAFETY: just checked.
        return unsafe UInt64(UInt32(littleEndian: bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt32.self)))
    }

    /// The offset of the first byte at or after `from` that is not visible ASCII, or is `#`, `<`, `>` or `\`, or `count`.
    public func endOfTarget(from: Int) -> Int {
        var at = from
        while count &- at >= 8 {
            let word = word(at: at)
            let brackets = (word & ~0x0202_0202_0202_0202).equal(to: 0x3c)
            let bad = word | ~word.within(0x21, 0x7e) | word.equal(to: 0x23) | word.equal(to: 0x5c) | brackets
            if let offset = bad.firstMark { return at &+ offset }
            at &+= 8
        }
        while at < count, isTargetByte(self[at]) { at &+= 1 }
        return at
    }

    @inline(__always)
    private func isTargetByte(_ byte: UInt8) -> Bool {
        byte > 0x20 && byte < 0x7f && byte != 0x23 && byte != 0x5c && byte & ~2 != 0x3c
    }
}

/// Eight bytes in a word. Answers are marks: the top bit of each byte for which the answer is yes; other bits are noise.
/// Bytes are compared without their top bit, so that no byte borrows from its neighbour.
extension UInt64 {
    @inline(__always)
    private static func each(_ byte: UInt8) -> UInt64 { UInt64(byte) &* 0x0101_0101_0101_0101 }

    @inline(__always)
    private static var tops: UInt64 { 0x8080_8080_8080_8080 }

    /// Bytes whose low seven bits are at least `byte`, which is 1 to 127.
    @inline(__always)
    func atLeast(_ byte: UInt8) -> UInt64 { (self | .tops) &- .each(byte) }

    /// Bytes whose low seven bits lie from `first` to `last`.
    @inline(__always)
    func within(_ first: UInt8, _ last: UInt8) -> UInt64 { atLeast(first) & ~atLeast(last &+ 1) }

    /// Bytes whose low seven bits are `byte`.
    @inline(__always)
    func equal(to byte: UInt8) -> UInt64 { ~((self ^ .each(byte)).atLeast(1)) }

    /// The offset of the first marked byte.
    @inline(__always)
    var firstMark: Int? {
        let marks = self & .tops
        return marks == 0 ? nil : marks.trailingZeroBitCount / 8
    }

    @inline(__always)
    func equalsIgnoringCase(_ other: UInt64) -> Bool { self == other || lowercased == other.lowercased }

    /// With ASCII letters in lower case.
    @inline(__always)
    var lowercased: UInt64 {
        let capitals = within(0x41, 0x5a) & ~self & .tops
        return self | capitals >> 2
    }
}
