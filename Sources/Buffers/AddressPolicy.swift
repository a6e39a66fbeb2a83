/// Which addresses requests that somebody else thought up may go to: public ones, and what is allowed by name.
///
/// It is asked about the address that is connected to, after the name was looked up, so that no spelling of an address
/// and no change of a name's answer leads past it.
public struct AddressPolicy: Sendable {
    public struct Network: Sendable, Equatable {
        public var address: IPAddress
        public var prefixLength: Int

        public init(_ address: IPAddress, _ prefixLength: Int) {
            self.address = address
            self.prefixLength = prefixLength
        }

        func holds(_ other: IPAddress) -> Bool { other.isIn(address, prefixLength: prefixLength) }
    }

    /// Allowed although they are not public.
    public var allowed: [Network]

    public init(allowed: [Network] = []) { self.allowed = allowed }

    /// Why the address is refused, for people; nil when it may be connected to.
    public func refusal(_ address: IPAddress) -> String? {
        if allowed.contains(where: { $0.holds(address) }) { return nil }
        return address.isV6 ? Self.refusalV6(address) : Self.refusalV4(address)
    }

    private static func refusalV4(_ address: IPAddress) -> String? {
        special.first { $0.network.holds(address) }?.what
    }

    /// Only global unicast (RFC 4291), and of that nothing that carries an IPv4 address or is for documents.
    private static func refusalV6(_ address: IPAddress) -> String? {
        if let found = specialV6.first(where: { $0.network.holds(address) }) { return found.what }
        // 6to4 and NAT64 lead to the IPv4 address inside.
        if address.high >> 48 == 0x2002 {
            return refusalV4(IPAddress(v4: UInt32(truncatingIfNeeded: address.high >> 16))).map { "\($0), inside a 6to4 address" }
        }
        return address.high >> 61 == 1 ? nil : "not a global address"
    }

    /// RFC 6890 and what it names since.
    private static let special: [(network: Network, what: String)] = [
        (v4(0, 0, 0, 0, 8), "this network"), (v4(10, 0, 0, 0, 8), "private"), (v4(100, 64, 0, 0, 10), "shared by a carrier"),
        (v4(127, 0, 0, 0, 8), "loopback"), (v4(169, 254, 0, 0, 16), "link-local"), (v4(172, 16, 0, 0, 12), "private"),
        (v4(192, 0, 0, 0, 24), "reserved"), (v4(192, 0, 2, 0, 24), "for documents"), (v4(192, 88, 99, 0, 24), "a 6to4 relay"),
        (v4(192, 168, 0, 0, 16), "private"), (v4(198, 18, 0, 0, 15), "for benchmarks"), (v4(198, 51, 100, 0, 24), "for documents"),
        (v4(203, 0, 113, 0, 24), "for documents"), (v4(224, 0, 0, 0, 4), "multicast"), (v4(240, 0, 0, 0, 4), "reserved"),
    ]

    private static let specialV6: [(network: Network, what: String)] = [
        (v6(0, 1, 128), "loopback"), (v6(0, 0, 128), "unspecified"), (v6(0xfe80 << 48, 0, 10), "link-local"),
        (v6(0xfc00 << 48, 0, 7), "private"), (v6(0xff00 << 48, 0, 8), "multicast"), (v6(0x0064_ff9b << 32, 0, 32), "a NAT64 address"),
        (v6(0x2001 << 48, 0, 23), "reserved"), (v6(0x2001_0db8 << 32, 0, 32), "for documents"), (v6(0x3fff << 48, 0, 20), "for documents"),
    ]

    private static func v4(_ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: UInt32, _ prefix: Int) -> Network {
        Network(IPAddress(v4: a << 24 | b << 16 | c << 8 | d), prefix)
    }

    private static func v6(_ high: UInt64, _ low: UInt64, _ prefix: Int) -> Network { Network(IPAddress(v6High: high, v6Low: low), prefix) }
}
