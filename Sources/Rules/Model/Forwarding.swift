public import Buffers

/// How origins are told of clients, and whose word on them counts.
public struct Forwarding: Sendable {
    public enum Fields: String, Sendable, CaseIterable {
        case xForwarded = "x_forwarded"
        case forwarded
        case both
    }
    /// Proxies in front of this gateway.
    public var trusted: [AddressRange] = []
    public var fields = Fields.xForwarded
    public var makesTraceparent = false

    public init() {}
}

/// Addresses that are trusted with something.
public struct TrustedPeers: Sendable {
    private let addresses: AddressSet

    /// nil when nobody is.
    public init?(_ ranges: [AddressRange]) {
        guard !ranges.isEmpty else { return nil }
        addresses = AddressSet(ranges)
    }

    public func contains(_ address: IPAddress) -> Bool { addresses.contains(address) }
}
