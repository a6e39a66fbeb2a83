/// Hash of the text that decides which server gets a request: FNV-1a with a final mix, so that every bit of the result
/// depends on every byte.
public enum BalanceKey {
    public static let start: UInt64 = 0xcbf2_9ce4_8422_2325

    @inline(__always)
    public static func add(_ byte: UInt8, to hash: UInt64) -> UInt64 { (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }

    public static func finish(_ hash: UInt64) -> UInt64 {
        var mixed = (hash ^ hash >> 33) &* 0xff51_afd7_ed55_8ccd
        mixed = (mixed ^ mixed >> 33) &* 0xc4ce_b9fe_1a85_ec53
        return mixed ^ mixed >> 33
    }

    public static func hash(_ text: borrowing Span<UInt8>) -> UInt64 {
        var hash = start
        for index in text.indices { hash = add(text[index], to: hash) }
        return finish(hash)
    }
}
