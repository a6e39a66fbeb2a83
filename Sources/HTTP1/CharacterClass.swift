/// Which bytes may stand where in a head (RFC 9110 section 5.6.2, RFC 9112).
enum CharacterClass {
    /// `tchar`.
    static let token: UInt8 = 1
    /// Legal in a field value: visible ASCII, space, tab, bytes from 0x80.
    static let value: UInt8 = 2
    /// Legal in a request target: visible ASCII without `"<>\^`{|}` and without `#`... kept lenient as browsers send some.
    static let target: UInt8 = 4
    /// Legal in an authority.
    static let authority: UInt8 = 8

    static let table: InlineArray<256, UInt8> = {
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
    static func has(_ byte: UInt8, _ bits: UInt8) -> Bool { table[Int(byte)] & bits != 0 }
}
