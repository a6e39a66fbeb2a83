public import Buffers
import Isolates

/// A list of a rule file as hooks may ask it: texts, or networks.
public struct HookList: Sendable, Equatable {
    public struct Network: Sendable, Hashable {
        public var address: IPAddress
        public var prefix: Int

        public init(address: IPAddress, prefix: Int) {
            self.address = address
            self.prefix = prefix
        }

        /// The network that an address lies in, with nothing behind the prefix.
        fileprivate init(around address: IPAddress, _ prefix: Int) {
            let high: UInt64 = address.isV6 ? Self.mask(prefix) : 0
            let low: UInt64 = address.isV6 ? Self.mask(prefix - 64) : Self.mask(prefix + 32)
            self.address = address.isV6
                ? IPAddress(v6High: address.high & high, v6Low: address.low & low) : IPAddress(v4: UInt32(truncatingIfNeeded: address.low & low))
            self.prefix = prefix
        }

        /// The first `bits` of 64.
        private static func mask(_ bits: Int) -> UInt64 { bits <= 0 ? 0 : bits >= 64 ? .max : ~(.max >> UInt64(bits)) }
    }

    private var texts: Set<String> = []
    private var networks: Set<Network> = []
    /// Lengths of prefixes that occur, by family.
    private var prefixes4: [Int] = []
    private var prefixes6: [Int] = []

    public init(texts: [String]) { self.texts = Set(texts) }

    public init(networks all: [Network]) {
        networks = Set(all.map { Network(around: $0.address, $0.prefix) })
        prefixes4 = Set(networks.filter { !$0.address.isV6 }.map(\.prefix)).sorted()
        prefixes6 = Set(networks.filter { $0.address.isV6 }.map(\.prefix)).sorted()
    }

    /// Whether the text is in the list, or the address that it spells in one of its networks.
    public func contains(_ text: String) -> Bool {
        if networks.isEmpty { return texts.contains(text) }
        guard let address = IPAddress(text) else { return false }
        return (address.isV6 ? prefixes6 : prefixes4).contains { networks.contains(Network(around: address, $0)) }
    }
}

extension HookList {
    func write(to wire: inout WireWriter) {
        wire.number32(UInt32(clamping: texts.count))
        for text in texts { wire.string(text) }
        wire.number32(UInt32(clamping: networks.count))
        for network in networks {
            wire.flag(network.address.isV6)
            wire.number(network.address.high)
            wire.number(network.address.low)
            wire.byte(UInt8(clamping: network.prefix))
        }
    }

    init(from wire: inout WireReader) throws(WireError) {
        var texts: [String] = [], networks: [Network] = []
        for _ in 0..<(try wire.count(ofAtLeast: 4)) { texts.append(try wire.string()) }
        for _ in 0..<(try wire.count(ofAtLeast: 18)) {
            let isV6 = try wire.flag(), high = try wire.number(), low = try wire.number()
            let address = isV6 ? IPAddress(v6High: high, v6Low: low) : IPAddress(v4: UInt32(truncatingIfNeeded: low))
            networks.append(Network(address: address, prefix: Int(try wire.byte())))
        }
        if networks.isEmpty { self.init(texts: texts) } else { self.init(networks: networks) }
    }
}

extension HookOperations {
    /// `inList(name, text)`: null when the list is not granted.
    func inList(_ native: borrowing NativeCall) throws(NativeFailure) {
        guard let list = function.source.lists[try native.string(0)] else { return native.returnNull() }
        native.returnBool(list.contains(try native.string(1)))
    }
}
