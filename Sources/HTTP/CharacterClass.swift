import Buffers

/// Which bytes may stand where in a head (RFC 9110 section 5.6.2, RFC 9112).
public enum CharacterClass {
    /// `tchar`.
    public static let token: UInt8 = 1
    /// Legal in a field value: visible ASCII, space, tab, bytes from 0x80.
    public static let value: UInt8 = 2
    /// Legal in a request target: visible ASCII without `"<>\^`{|}` and without `#`... kept lenient as browsers send some.
    public static let target: UInt8 = 4
    /// Legal in an authority.
    public static let authority: UInt8 = 8

    public static let table: InlineArray<256, UInt8> = {
        var table = InlineArray<256, UInt8>(repeating: 0)
        for byte in 0..<256 {
            let character = UInt8(byte)
            let alphanumeric = character &- 48 < 10 || (character | 0x20) &- 97 < 26
            if alphanumeric { table[byte] = token | value | target | authority }
            if byte >= 0x80 { table[byte] = value }
            if byte >= 0x21 && byte < 0x7f { table[byte] |= value | target }
        }
        table[0x20] |= value
        table[0x09] |= value
        for character in "!#$%&'*+-.^_`|~".utf8 { table[Int(character)] |= token }
        for character in "-._~%!$&'()*+,;=:[]".utf8 { table[Int(character)] |= authority }
        // A fragment is never sent; the others are not URI characters and parsers disagree on them.
        for character in "#\"<>\\^`{}|".utf8 { table[Int(character)] &= ~target }
        for character in "|^`{}\"".utf8 { table[Int(character)] |= target }
        return table
    }()

    @inline(__always)
    public static func has(_ byte: UInt8, _ bits: UInt8) -> Bool { table[Int(byte)] & bits != 0 }
}

/// `host [":" port]` (RFC 3986 section 3.2, without user information).
public enum Authority {
    public static func isValid(_ text: borrowing Span<UInt8>) -> Bool {
        guard text.count > 0, text.count <= 255 else { return text.count == 0 }
        var at = 0
        if text[0] == UInt8(ascii: "[") {
            guard let close = text.firstIndex(of: UInt8(ascii: "]")), close > 2 else { return false }
            for index in 1..<close where !isAddressByte(text[index]) { return false }
            at = close + 1
        } else {
            while at < text.count, text[at] != UInt8(ascii: ":") {
                guard isHostByte(text[at]) else { return false }
                at += 1
            }
            guard at > 0 else { return false }
        }
        if at == text.count { return true }
        guard text[at] == UInt8(ascii: ":") else { return false }
        let port = text.extracting(droppingFirst: at + 1)
        if port.count == 0 { return true }
        guard let number = port.decimal() else { return false }
        return number <= 65535 && port.count <= 5
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        CharacterClass.has(byte, CharacterClass.authority) && byte != UInt8(ascii: "[") && byte != UInt8(ascii: "]")
            && byte != UInt8(ascii: ",")
    }

    private static func isAddressByte(_ byte: UInt8) -> Bool {
        byte &- 48 < 10 || (byte | 0x20) &- 97 < 6 || byte == UInt8(ascii: ":") || byte == UInt8(ascii: ".")
    }
}
