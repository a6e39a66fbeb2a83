import CLinux

/// Takes away what a process that runs other people's JavaScript must not have.
public enum Confinement {
    /// Hard limits of a cordon (setrlimit).
    public struct Limits: Sendable {
        /// Virtual addresses, in bytes. V8 reserves much more than it uses.
        public var addressSpace: UInt64 = 64 << 30
        /// Writable private memory, in bytes: what bounds the damage of one huge allocation.
        public var data: UInt64 = 1 << 30
        /// Seconds of CPU time of a life; then the process is replaced.
        public var cpuSeconds: UInt64 = 86_400
        public var descriptors: UInt64 = 32
        /// Threads of its own, for profilers; never processes.
        public var mayMakeThreads = false

        public init() {}
    }

    /// What the kernel could do.
    public struct Outcome: Sendable {
        public var landlock = false
        /// Names what failed; empty when all that must hold holds.
        public var failure = ""
    }

    /// Irreversible. Landlock is used where the kernel has it; seccomp and the limits must work.
    public static func apply(_ limits: Limits) -> Outcome {
        var outcome = Outcome()
        outcome.landlock = sluice_landlock_everything() == 0
        var raw = sluice_cordon_limits(
            address_space: limits.addressSpace, data: limits.data, cpu_seconds: limits.cpuSeconds,
            descriptors: limits.descriptors)
        // SAFETY: a local that outlives the call.
        let limited = unsafe sluice_limit_cordon(&raw)
        if limited < 0 { outcome.failure = "\(SystemError(call: "setrlimit", code: -limited))" }
        let filtered = sluice_seccomp_cordon(limits.mayMakeThreads ? 1 : 0)
        if filtered < 0 { outcome.failure = "\(SystemError(call: "seccomp", code: -filtered))" }
        return outcome
    }
}
