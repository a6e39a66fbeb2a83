import Buffers

/// What follows the addresses in a header of the PROXY protocol's version 2: a checksum that is there must be right.
enum ProxyExtras {
    private static let checksumType: UInt8 = 0x03

    /// - Parameter header: as a whole, and nothing behind it.
    static func areSound(_ header: borrowing Span<UInt8>) -> Bool {
        guard let first = firstExtra(header) else { return true }
        let isStrict = header[13] >> 4 != 0
        var at = first
        while at < header.count {
            guard at + 3 <= header.count else { return !isStrict }
            let length = Int(header[at + 1]) << 8 | Int(header[at + 2])
            guard at + 3 + length <= header.count else { return !isStrict }
            if header[at] == checksumType {
                guard length == 4, CRC32C.of(header, withoutFourAt: at + 3) == checksum(header, at + 3) else { return false }
            }
            at += 3 + length
        }
        return true
    }

    /// Behind the addresses of its family; nil when they do not fit, which the reader of addresses looks at.
    private static func firstExtra(_ header: borrowing Span<UInt8>) -> Int? {
        guard let addresses = ProxyHeader.addressBytes(of: header[13] >> 4) else { return nil }
        return 16 + addresses <= header.count ? 16 + addresses : nil
    }

    private static func checksum(_ header: borrowing Span<UInt8>, _ at: Int) -> UInt32 {
        var value: UInt32 = 0
        for index in at..<at + 4 { value = value << 8 | UInt32(header[index]) }
        return value
    }
}

/// CRC-32C (RFC 3720 appendix B.4), a bit at a time: a header is short and comes once per connection.
enum CRC32C {
    /// The four bytes at `place`, where the sum itself stands, count as zeros.
    static func of(_ bytes: borrowing Span<UInt8>, withoutFourAt place: Int) -> UInt32 {
        var sum: UInt32 = .max
        for index in 0..<bytes.count {
            sum ^= index >= place && index < place + 4 ? 0 : UInt32(bytes[index])
            for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0x82f6_3b78 : sum >> 1 }
        }
        return ~sum
    }
}
