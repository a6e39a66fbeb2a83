import CLinux

/// A signal number.
public struct Signal: RawRepresentable, Sendable, Hashable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    public static let hangup = Signal(rawValue: 1)
    public static let interrupt = Signal(rawValue: 2)
    public static let kill = Signal(rawValue: 9)
    public static let user1 = Signal(rawValue: 10)
    public static let pipe = Signal(rawValue: 13)
    public static let terminate = Signal(rawValue: 15)
    public static let child = Signal(rawValue: 17)

    /// "SIGKILL" and so on; "signal 42" for those without a place here.
    public static func name(_ number: Int32) -> String {
        names[number] ?? "signal \(number)"
    }

    private static let names: [Int32: String] = [
        1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
        9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
        17: "SIGCHLD", 24: "SIGXCPU", 31: "SIGSYS",
    ]
}

/// Signals as something to read: blocked for the process and delivered through a descriptor.
public struct SignalDescriptor: ~Copyable {
    public let descriptor: OwnedDescriptor

    /// Call before any other thread is made, so that all threads inherit the mask.
    public init(_ signals: [Signal]) throws(SystemError) {
        let numbers = signals.map(\.rawValue)
        // SAFETY: the array lives through the call and its count is passed.
        let result = unsafe sluice_signal_descriptor(numbers, Int32(numbers.count))
        descriptor = OwnedDescriptor(adopting: try check(result, "signalfd", "signals"))
    }

    /// The next signal that arrived, nil when there is none.
    public func next() -> Signal? {
        let number = sluice_signal_read(descriptor.number)
        return number > 0 ? Signal(rawValue: number) : nil
    }

    public static func ignore(_ signal: Signal) { _ = sluice_ignore_signal(signal.rawValue) }

    /// Blocks signals without reading them: another process decides what they mean.
    public static func block(_ signals: [Signal]) {
        let numbers = signals.map(\.rawValue)
        // SAFETY: the array lives through the call and its count is passed.
        _ = unsafe sluice_block_signals(numbers, Int32(numbers.count))
    }
}
