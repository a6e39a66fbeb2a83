import CLinux

/// How a process ended.
public enum ProcessEnd: Sendable, Equatable, CustomStringConvertible {
    case exited(Int32)
    case signalled(Int32)

    public var description: String {
        switch self {
        case .exited(let code): "exit status \(code)"
        case .signalled(let number): "signal \(number) (\(Signal.name(number)))"
        }
    }
}

/// A child process made by `posix_spawn`. Never a bare fork: this process has a Swift runtime.
public final class ChildProcess {
    public let pid: Int32
    /// Becomes readable when the process ends; also the race-free way to signal it.
    public let pidDescriptor: OwnedDescriptor
    /// Set once the process was reaped.
    public private(set) var end: ProcessEnd?

    private init(pid: Int32, pidDescriptor: consuming OwnedDescriptor) {
        self.pid = pid
        self.pidDescriptor = pidDescriptor
    }

    /// What to start.
    public struct Plan: Sendable {
        public var executable: String
        public var arguments: [String]
        /// "NAME=value". Nothing is inherited that is not listed.
        public var environment: [String]
        /// Child descriptor number to our descriptor number. Everything else above 2 is closed.
        public var descriptors: [Int32: Int32] = [:]
        /// Whether 0, 1 and 2 stay ours; otherwise those not in the map become /dev/null.
        public var keepsStandardStreams = true
        /// The child's signal mask; all dispositions are reset to default.
        public var blocked: [Signal] = []

        /// This very program with other arguments.
        public static func ourselves(arguments: [String], environment: [String]) -> Plan {
            Plan(executable: "/proc/self/exe", arguments: arguments, environment: environment)
        }

        public init(executable: String, arguments: [String], environment: [String]) {
            self.executable = executable
            self.arguments = arguments
            self.environment = environment
        }
    }

    public static func spawn(_ plan: Plan) throws(SystemError) -> ChildProcess {
        let pid = start(plan)
        try check(pid, "posix_spawn", "cannot start \(plan.executable) \(plan.arguments.dropFirst().joined(separator: " "))")
        let descriptor = sluice_pidfd_open(pid)
        if descriptor < 0 {
            _ = kill(pid)
            throw SystemError(call: "pidfd_open", code: -descriptor, subject: "cannot watch process \(pid)")
        }
        return ChildProcess(pid: pid, pidDescriptor: OwnedDescriptor(adopting: descriptor))
    }

    /// A process that has become a child of this one because its parent ended.
    public static func adopt(withEnvironment entry: String) -> ChildProcess? {
        // SAFETY: the string is NUL-terminated for the call.
        let pid = unsafe sluice_child_with(entry)
        guard pid > 0 else { return nil }
        let descriptor = sluice_pidfd_open(pid)
        return descriptor < 0 ? nil : ChildProcess(pid: pid, pidDescriptor: OwnedDescriptor(adopting: descriptor))
    }

    private static func start(_ plan: Plan) -> Int32 {
        let targets = plan.descriptors.keys.sorted()
        let sources = targets.map { plan.descriptors[$0] ?? -1 }
        let blocked = plan.blocked.map(\.rawValue)
        return unsafe withCStrings(plan.arguments) { arguments in
            unsafe withCStrings(plan.environment) { environment in
                // SAFETY: both vectors end with NULL; the arrays live through the call and their counts are passed.
                unsafe sluice_spawn(
                    plan.executable, arguments, environment, sources, targets, Int32(targets.count),
                    plan.keepsStandardStreams ? 1 : 0, blocked, Int32(blocked.count))
            }
        }
    }

    private static func kill(_ pid: Int32) -> Int32 {
        let descriptor = sluice_pidfd_open(pid)
        defer { _ = sluice_close(descriptor) }
        return sluice_pidfd_signal(descriptor, Signal.kill.rawValue)
    }

    /// Sends a signal. A process that already ended is not an error.
    public func send(_ signal: Signal) {
        if end == nil { _ = sluice_pidfd_signal(pidDescriptor.number, signal.rawValue) }
    }

    /// Reaps the process if it has ended. Call when `pidDescriptor` is readable.
    public func reap() -> ProcessEnd? {
        if let end { return end }
        var code: Int32 = 0
        var bySignal: Int32 = 0
        // SAFETY: both pointers are to locals that outlive the call.
        let result = unsafe sluice_reap(pid, &code, &bySignal)
        if result == 1 { end = bySignal == 1 ? .signalled(code) : .exited(code) }
        // Somebody else reaped it: all that is known is that it is gone.
        if result < 0 { end = .exited(-1) }
        return end
    }
}

/// Runs `body` with a NULL-terminated vector of C strings.
private func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var bytes: [CChar] = []
    var offsets: [Int] = []
    for string in strings {
        offsets.append(bytes.count)
        bytes.append(contentsOf: string.utf8.map { CChar(bitPattern: $0) })
        bytes.append(0)
    }
    return unsafe bytes.withUnsafeMutableBufferPointer { storage in
        // SAFETY: every offset lies inside `storage`, which lives until `body` returns; each string ends with NUL.
        var vector: [UnsafeMutablePointer<CChar>?] = unsafe offsets.map { unsafe storage.baseAddress?.advanced(by: $0) }
        unsafe vector.append(nil)
        return unsafe vector.withUnsafeBufferPointer { unsafe body($0.baseAddress.unsafelyUnwrapped) }
    }
}

/// What a process does to itself at its start.
public enum ProcessSetup {
    /// CPUs this process may run on, at least 1.
    public static var cpuCount: Int { max(1, Int(sluice_cpu_count())) }

    /// The kernel kills this process when the thread that started it ends. Returns false when the
    /// parent is already another one than `expected`.
    public static func dieWithParent(expected: Int32) throws(SystemError) -> Bool {
        try check(sluice_die_with_parent(), "prctl", "PR_SET_PDEATHSIG")
        return sluice_parent() == expected
    }

    /// Orphans below this process become its children, as they do for process 1.
    public static func adoptOrphans() { _ = sluice_adopt_orphans() }

    /// Buries children that nobody waits for, as process 1 has to.
    /// - Parameter kept: the child that somebody waits for.
    public static func buryOthers(than kept: Int32) { while sluice_reap_others(kept) > 0 {} }

    /// Nothing this process executes can gain privileges.
    public static func giveUpNewPrivileges() throws(SystemError) {
        try check(sluice_no_new_privileges(), "prctl", "PR_SET_NO_NEW_PRIVS")
    }

    /// Keys must not end up in a core file.
    public static func disableCoreDumps() { _ = sluice_no_core_dumps() }

    /// Raises the soft descriptor limit to the hard one and returns it.
    @discardableResult
    public static func raiseDescriptorLimit() -> UInt64 {
        var limit: UInt64 = 0
        // SAFETY: a local that outlives the call.
        _ = unsafe sluice_raise_descriptor_limit(&limit)
        return limit
    }

    public static var pid: Int32 { sluice_self() }
    public static var parent: Int32 { sluice_parent() }

    /// The file this program was started from. It may be another one by now: packages replace it while it runs.
    public static func executable() -> String? {
        let path = RuntimeFolder.resolved("/proc/self/exe")
        return path == "/proc/self/exe" ? nil : path
    }

    /// The value of an environment variable.
    public static func environment(_ name: String) -> String? {
        // SAFETY: the C function returns NULL or a NUL-terminated string that lives as long as the
        // environment is not changed, which this program never does.
        guard let value = unsafe sluice_environment(name) else { return nil }
        return unsafe String(cString: value)
    }

    /// All of the environment as "NAME=value".
    public static func environment() -> [String] {
        var result: [String] = []
        // SAFETY: `environ` is a NULL-terminated vector of C strings that this program never changes.
        guard var next = unsafe sluice_all_environment() else { return [] }
        while let entry = unsafe next.pointee {
            unsafe result.append(String(cString: entry))
            unsafe next += 1
        }
        return result
    }

    /// Tells the service manager (systemd `Type=notify`) about a change of state. Without one: nothing.
    public static func notifyServiceManager(_ state: String) {
        guard let path = environment("NOTIFY_SOCKET") else { return }
        // SAFETY: both strings are NUL-terminated for the duration of the call.
        _ = unsafe sluice_notify(path, state)
    }
}
