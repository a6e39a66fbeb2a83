public import Buffers

/// A condition: checked, typed, not yet compiled.
public struct Expression: Sendable {
    public var root: Condition
}

public indirect enum Condition: Sendable {
    case constant(Bool)
    case and([Condition])
    case or([Condition])
    case not(Condition)
    /// A field that is true or false by itself.
    case flag(FieldUse)
    case exists(FieldUse)
    case compare(Comparison)
}

/// `left operator right`. A missing field makes it false.
public struct Comparison: Sendable {
    public enum Operator: UInt8, Sendable {
        case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual
        case isIn, contains, startsWith, endsWith, matches, like
    }
    public enum Transform: UInt8, Sendable { case none, lowercase, length }
    public enum Right: Sendable {
        case text([UInt8])
        case integer(Int)
        case boolean(Bool)
        case address(IPAddress)
        case field(FieldUse, Transform)
        case texts([[UInt8]])
        case integers([ClosedRange<Int>])
        case addresses([AddressRange])
        /// A regular expression, known to be valid.
        case pattern(String)
    }
    public var left: FieldUse
    public var transform = Transform.none
    /// `any(...)`: true if one of several headers of the name passes.
    public var any = false
    public var operation: Operator
    public var right: Right
}

/// A network, or one address.
public struct AddressRange: Sendable, Hashable {
    public var network: IPAddress
    public var prefix: Int

    public init(network: IPAddress, prefix: Int) {
        self.network = network
        self.prefix = prefix
    }

    /// `10.0.0.0/8`, `2001:db8::/32`, or a single address; nil when it is neither.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let network = IPAddress(String(first)) else { return nil }
        let longest = network.isV6 ? 128 : 32
        guard parts.count == 2 else {
            self.init(network: network, prefix: longest)
            return
        }
        guard let prefix = Units.integer(String(parts[1])), prefix <= longest else { return nil }
        self.init(network: network, prefix: prefix)
    }
}
