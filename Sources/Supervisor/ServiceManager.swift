import Reactor

/// What a service manager such as systemd is told (sd_notify(3)); nothing where there is none.
enum ServiceManager {
    /// Requests are served. Also ends what `reloading` began.
    static func serving(generation: UInt64) {
        ProcessSetup.notifyServiceManager("READY=1\nSTATUS=serving, configuration generation \(generation)")
    }

    /// Another process is the one to watch, to signal and to hear from now on.
    static func handedOver(to pid: Int32) {
        ProcessSetup.notifyServiceManager("MAINPID=\(pid)\nREADY=1\nSTATUS=upgraded, process \(pid) serves")
    }

    /// A reload begins. `Type=notify-reload` wants the monotonic time with it.
    static func reloading() {
        ProcessSetup.notifyServiceManager("RELOADING=1\nMONOTONIC_USEC=\(SystemClock.monotonicNanoseconds() / 1000)")
    }
}

/// Tells the service manager that the supervisor's loop turns, twice as often as it asks for (`WatchdogSec=`).
struct ServiceWatchdog {
    /// Milliseconds between two beats; nil when nobody asks.
    private let period: UInt64?
    private var last: UInt64 = 0

    /// From the environment that the service manager sets.
    init() {
        let forUs = ProcessSetup.environment("WATCHDOG_PID").map { $0 == String(ProcessSetup.pid) } ?? true
        self.init(microseconds: forUs ? ProcessSetup.environment("WATCHDOG_USEC") : nil)
    }

    init(microseconds: String?) {
        period = microseconds.flatMap { UInt64($0) }.flatMap { $0 > 0 ? max(1, $0 / 2000) : nil }
    }

    /// Whether a beat is due.
    mutating func isDue(now: UInt64) -> Bool {
        guard let period, now &- last >= period else { return false }
        last = now
        return true
    }

    mutating func beat(now: UInt64) {
        if isDue(now: now) { ProcessSetup.notifyServiceManager("WATCHDOG=1") }
    }
}
