public import Buffers

/// One compiled configuration. Immutable and Sendable: build it on any thread, use it on all of them.
///
/// An exchange keeps the generation it began with, in all its phases.
public final class Generation: Sendable {
    public let configuration: Configuration
    let program: Program
    private let hosts: HostTable
    private let ruleIDs: [String]
    /// What `LimitCheck.limit` counts by.
    public let limits: [LimitPlan]
    let compressions: [CompressSettings]
    let replacements: [CompiledReplacement]

    public init(_ configuration: Configuration) {
        let compiler = Compiler(configuration)
        self.configuration = configuration
        program = compiler.program
        ruleIDs = compiler.ruleIDs
        limits = compiler.limits
        compressions = compiler.compressions
        replacements = compiler.replacements
        hosts = HostTable(configuration.sites)
    }

    /// Number of rules of all sites and phases.
    public var ruleCount: Int { ruleIDs.count }

    /// Some rule may change bodies: what the client accepts has to be kept.
    public var changesBodies: Bool { !compressions.isEmpty || !replacements.isEmpty }

    /// Some rule reads `client.rtt_us`.
    public var readsRoundTrip: Bool { program.readsRoundTrip }

    /// The stable id of a rule in `exchange.matchedRules`: `shop/https only`. Rules in shadow mode are recorded
    /// as their bitwise complement and end in ` (shadow)`.
    public func ruleID(_ rule: Int32) -> String {
        let index = Int(rule < 0 ? ~rule : rule)
        guard ruleIDs.indices.contains(index) else { return "?" }
        return rule < 0 ? ruleIDs[index] + " (shadow)" : ruleIDs[index]
    }

    /// Index into `configuration.sites`, or -1.
    /// - Parameter host: without port, any case.
    public func site(forHost host: borrowing Span<UInt8>) -> Int { hosts.site(for: host) }

    /// Lends hook arguments (`call.arguments`) and fixed bodies (`.constant`).
    public func withBytes<Result>(_ range: ByteRange, _ body: (borrowing Span<UInt8>) -> Result) -> Result {
        Access.with(program.constants, range, body)
    }
}
