public import Buffers

/// The PROXY protocol: what a load balancer says before the first byte of a connection, so that the addresses of its
/// client are known behind it (HAProxy's proxy-protocol.txt, versions 1 and 2).
public enum ProxyHeader {
    public struct Addresses: Sendable, Equatable {
        public var source: IPAddress
        public var sourcePort: UInt16
        public var destination: IPAddress
        public var destinationPort: UInt16

        public init(source: IPAddress, sourcePort: UInt16, destination: IPAddress, destinationPort: UInt16) {
            self.source = source
            self.sourcePort = sourcePort
            self.destination = destination
            self.destinationPort = destinationPort
        }

        /// What both are written as.
        fileprivate var isV6: Bool { source.isV6 || destination.isV6 }
    }

    public enum Result: Sendable, Equatable {
        case needMore
        /// `addresses` is nil when the balancer speaks for itself (LOCAL, UNKNOWN) or of no IP addresses.
        case complete(consumed: Int, addresses: Addresses?)
        case failed
    }

    /// The longest header that is read: TLVs beyond the addresses count too.
    public static let longest = 2_048
    private static let longestText = 107

    public static func parse(_ bytes: borrowing Span<UInt8>) -> Result {
        guard bytes.count > 0 else { return .needMore }
        if bytes[0] == UInt8(ascii: "P") { return parseText(bytes) }
        return parseBinary(bytes)
    }

    // MARK: Version 1

    private static func parseText(_ bytes: borrowing Span<UInt8>) -> Result {
        let start = Span<UInt8>("PROXY ")
        for index in 0..<min(bytes.count, start.count) where bytes[index] != start[index] { return .failed }
        guard let end = bytes.firstIndex(of: 10) else { return bytes.count < longestText ? .needMore : .failed }
        guard end >= 7, end < longestText, bytes[end - 1] == 13 else { return .failed }
        var parts: [String] = []
        var from = start.count
        while from <= end - 1 {
            let to = bytes.extracting(first: end - 1).firstIndex(of: 32, from: from) ?? end - 1
            parts.append(bytes.extracting(from..<to).text())
            from = to + 1
        }
        if parts.first == "UNKNOWN" { return .complete(consumed: end + 1, addresses: nil) }
        guard parts.count == 5, parts[0] == "TCP4" || parts[0] == "TCP6", let source = IPAddress(parts[1]), let target = IPAddress(parts[2]),
            let sourcePort = port(parts[3]), let targetPort = port(parts[4]), parts[1].contains(":") == (parts[0] == "TCP6"),
            parts[2].contains(":") == (parts[0] == "TCP6")
        else { return .failed }
        return .complete(consumed: end + 1, addresses: Addresses(
            source: source, sourcePort: sourcePort, destination: target, destinationPort: targetPort))
    }

    private static func port(_ text: String) -> UInt16? {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 &- 48 < 10 }), text == "0" || !text.hasPrefix("0") else { return nil }
        return UInt16(text)
    }

    // MARK: Version 2

    private static let signature: InlineArray<12, UInt8> = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10]

    /// Bytes of the addresses of a family, the upper half of its byte: none, IPv4, IPv6, sockets of Unix. Nil: no such family.
    static func addressBytes(of family: UInt8) -> Int? {
        switch family {
        case 0: 0
        case 1: 12
        case 2: 36
        case 3: 216
        default: nil
        }
    }

    private static func parseBinary(_ bytes: borrowing Span<UInt8>) -> Result {
        for index in 0..<min(bytes.count, 12) where bytes[index] != signature[index] { return .failed }
        guard bytes.count >= 16 else { return .needMore }
        let length = Int(bytes[14]) << 8 | Int(bytes[15])
        guard bytes[12] >> 4 == 2, bytes[12] & 15 <= 1, 16 + length <= longest else { return .failed }
        guard bytes.count >= 16 + length else { return .needMore }
        guard ProxyExtras.areSound(bytes.extracting(first: 16 + length)) else { return .failed }
        let isLocal = bytes[12] & 15 == 0, needed = addressBytes(of: bytes[13] >> 4) ?? 0
        switch bytes[13] {
        case 0x11 where !isLocal:
            guard length >= needed else { return .failed }
            return .complete(consumed: 16 + length, addresses: Addresses(
                source: IPAddress(v4: UInt32(number(bytes, 16, 4))), sourcePort: UInt16(number(bytes, 24, 2)),
                destination: IPAddress(v4: UInt32(number(bytes, 20, 4))), destinationPort: UInt16(number(bytes, 26, 2))))
        case 0x21 where !isLocal:
            guard length >= needed else { return .failed }
            return .complete(consumed: 16 + length, addresses: Addresses(
                source: IPAddress(v6High: number(bytes, 16, 8), v6Low: number(bytes, 24, 8)), sourcePort: UInt16(number(bytes, 48, 2)),
                destination: IPAddress(v6High: number(bytes, 32, 8), v6Low: number(bytes, 40, 8)), destinationPort: UInt16(number(bytes, 50, 2))))
        default: return .complete(consumed: 16 + length, addresses: nil)
        }
    }

    private static func number(_ bytes: borrowing Span<UInt8>, _ at: Int, _ count: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in at..<at + count { value = value << 8 | UInt64(bytes[index]) }
        return value
    }

    // MARK: Writing

    public enum Version: Sendable { case v1, v2 }

    /// - Parameter addresses: of both ends of the client's connection; nil says that the gateway speaks for itself. Where one is IPv4 and
    ///   the other IPv6, which a proxy on the way can bring about, the first is written as an IPv4-mapped IPv6 address: a header has one
    ///   family for both.
    public static func write(_ version: Version, _ addresses: Addresses?, to output: inout OutputBuffer) {
        switch version {
        case .v1: writeText(addresses, &output)
        case .v2: writeBinary(addresses, &output)
        }
    }

    private static func writeText(_ addresses: Addresses?, _ output: inout OutputBuffer) {
        guard let addresses else { return output.append("PROXY UNKNOWN\r\n") }
        let isV6 = addresses.isV6
        output.append(isV6 ? "PROXY TCP6 " : "PROXY TCP4 ")
        var text = ByteArena(capacity: 128)
        for address in [addresses.source, addresses.destination] {
            if isV6, !address.isV6 { output.append("::ffff:") }
            let range = address.append(to: &text)
            output.append(copying: text[range])
            output.append(" ")
        }
        output.append(decimal: Int(addresses.sourcePort))
        output.append(" ")
        output.append(decimal: Int(addresses.destinationPort))
        output.append("\r\n")
    }

    private static func writeBinary(_ addresses: Addresses?, _ output: inout OutputBuffer) {
        output.append(copying: signature.span)
        guard let addresses else {
            for byte: UInt8 in [0x20, 0, 0, 0] { output.append(byte: byte) }
            return
        }
        let isV6 = addresses.isV6
        output.append(byte: 0x21)
        output.append(byte: isV6 ? 0x21 : 0x11)
        output.append(byte: 0)
        output.append(byte: UInt8(clamping: addressBytes(of: isV6 ? 2 : 1) ?? 0))
        for address in [addresses.source, addresses.destination] {
            if isV6 { append(address.high, 8, &output) }
            let mapped: UInt64 = isV6 && !address.isV6 ? 0xffff << 32 : 0
            append(mapped | address.low, isV6 ? 8 : 4, &output)
        }
        append(UInt64(addresses.sourcePort), 2, &output)
        append(UInt64(addresses.destinationPort), 2, &output)
    }

    private static func append(_ number: UInt64, _ count: Int, _ output: inout OutputBuffer) {
        for index in 0..<count { output.append(byte: UInt8(truncatingIfNeeded: number >> UInt64(8 * (count - 1 - index)))) }
    }
}
