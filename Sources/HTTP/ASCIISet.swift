/// A set of ASCII bytes as two words: a test is a shift and a mask, with no table to load and nothing to initialise.
public struct ASCIISet: Sendable {
    let low: UInt64
    let high: UInt64

    @inline(__always)
    public func contains(_ byte: UInt8) -> Bool {
        let word = byte & 64 == 0 ? low : high
        return byte < 128 && (word &>> UInt64(byte & 63)) & 1 != 0
    }

    /// `tchar`: methods and field names (RFC 9110 section 5.6.2).
    @inline(__always)
    public static var token: ASCIISet { ASCIISet(low: 0x03ff_6cfa_0000_0000, high: 0x57ff_ffff_c7ff_fffe) }

    /// `tchar` without capitals: field names of HTTP/2 (RFC 9113 section 8.2.1).
    @inline(__always)
    public static var lowerToken: ASCIISet { ASCIISet(low: 0x03ff_6cfa_0000_0000, high: 0x57ff_ffff_c000_0000) }

    /// A request target: visible ASCII but `#` (a fragment is never sent), `<`, `>` and `\` (parsers disagree on it).
    /// Browsers send some others that RFC 3986 does not allow, such as `|`; they have one reading.
    @inline(__always)
    public static var target: ASCIISet { ASCIISet(low: 0xafff_fff6_0000_0000, high: 0x7fff_ffff_efff_ffff) }

    /// A host name: unreserved and sub-delimiters without the comma (RFC 3986 section 3.2.2).
    @inline(__always)
    public static var hostName: ASCIISet { ASCIISet(low: 0x2bff_6fd2_0000_0000, high: 0x47ff_fffe_87ff_fffe) }

    /// Characters that mean the same with and without percent-encoding (RFC 3986 section 2.3).
    @inline(__always)
    public static var unreserved: ASCIISet { ASCIISet(low: 0x03ff_6000_0000_0000, high: 0x47ff_fffe_87ff_fffe) }
}

/// The value of a hexadecimal digit, or nil.
@inline(__always)
public func hexValue(_ byte: UInt8) -> UInt8? {
    if byte &- 48 < 10 { return byte &- 48 }
    let letter = (byte | 0x20) &- 97
    return letter < 6 ? letter + 10 : nil
}
