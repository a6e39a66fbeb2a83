import CV8

/// V8 in this process. Started once, never stopped: the process ends with it.
public enum V8Engine {
    public struct Options: Sendable {
        /// Threads that compile and collect garbage beside the worker. 0 is the single-threaded platform.
        public var workerThreads: Int32 = 1
        /// V8 flags, each of the form `--name` or `--name=value`.
        public var flags: [String] = V8Engine.safeFlags
        /// Some built-ins never look at a termination request (`new Array(2**28).fill(1)`). If a script is still
        /// running this long after it was told to stop, the process writes one line to stderr and exits with
        /// `unstoppableExitCode`. 0: never.
        public var killAfterMilliseconds: UInt32 = 0
        /// Largest WebAssembly memory, in bytes; 0: this process has no WebAssembly. Its memory is outside of V8's quotas, so such
        /// a process needs limits of its own.
        public var webAssemblyBytes = 0
        public init() {}
    }

    /// WebAssembly memory is outside every quota and shared buffers allow waiting and precise clocks: both off. A young
    /// generation of 1 MiB with next to no survivors is collected sooner than a second thread wakes to help. Buffers that are garbage
    /// end with the collection, not some time later on another thread: their slabs are wanted. What a call runs through before and after
    /// its handler is a little more than V8 makes one piece of code of by itself (920 bytes of bytecode).
    public static let safeFlags = [
        "--no-expose-wasm", "--no-harmony-sharedarraybuffer", "--harmony-import-assertions",
        "--no-verify-snapshot-checksum", "--no-parallel-scavenge", "--no-concurrent-array-buffer-sweeping",
        "--max-inlined-bytecode-size-cumulative=1500",
    ]

    /// Exit code after a fatal error inside V8, for instance one allocation beyond every limit.
    public static let fatalExitCode = Int32(CV8_EXIT_FATAL)
    /// Exit code after a script that could not be stopped.
    public static let unstoppableExitCode = Int32(CV8_EXIT_UNSTOPPABLE)

    /// Starts V8 and the watchdog thread. The first call decides the options; later calls do nothing.
    @discardableResult
    public static func start(_ options: Options = Options()) -> Bool {
        var flags = options.flags
        if options.webAssemblyBytes > 0 {
            flags.removeAll { $0 == "--no-expose-wasm" }
            // The baseline compiler, function by function when they are first called: what compiles is watched as what runs.
            flags += [
                "--wasm-max-mem-pages=\(max(1, options.webAssemblyBytes >> 16))", "--wasm-max-table-size=100000", "--wasm-max-code-space=64",
                "--no-wasm-tier-up", "--no-wasm-dynamic-tiering", "--no-wasm-async-compilation", "--wasm-lazy-compilation",
            ]
        }
        if options.workerThreads == 0 { flags.append("--single-threaded") }
        // SAFETY: the string is borrowed for the duration of the call; V8 copies what it keeps.
        return unsafe flags.joined(separator: " ").withCString { text in
            unsafe cv8_start(text, options.workerThreads, options.killAfterMilliseconds)
        }
    }

    /// Isolates made from now on may evaluate text as code. For `sluice script` only, which serves nobody.
    public static func allowEvaluation() { cv8_allow_evaluation() }

    /// `Date` of all isolates of this process stands still while a turn runs, so that code of strangers cannot time what
    /// it shares a processor with. Starts V8 if nobody did.
    public static func freezeClock() {
        start()
        cv8_freeze_clock()
    }

    /// What `Date` says on this thread from now on, for rehearsals, whose time is not the real one.
    /// - Parameter milliseconds: since 1970; nil for the real time.
    public static func setClock(milliseconds: Double?) {
        start()
        cv8_set_clock(milliseconds ?? .nan)
    }

    /// To be called once on a worker's thread: it then stays inside the isolate it used last, and an empty call costs
    /// 0.33 us instead of 0.58 (measured). Isolates used there must be used and freed there (or `leaveThread` first).
    public static func dedicateThisThread(_ dedicated: Bool = true) { cv8_thread_dedicate(dedicated) }

    /// Bytes of text that are worth being compiled as a whole.
    public static let eagerLimit = 64 << 10

    /// Whether what this thread compiles from now on is compiled with all functions in it; to be taken back at once: other threads
    /// that use bytecode wait meanwhile.
    public static func compileEagerly(_ eagerly: Bool) { cv8_compile_eagerly(eagerly) }

    /// For instance `10.2.154.26-node.37`.
    public static var version: String {
        // SAFETY: V8 returns a static, NUL-terminated string.
        unsafe String(cString: cv8_version())
    }

    public struct Counters: Sendable {
        public var liveIsolates, isolatesMade, imagesMade: UInt64
        /// Turns that the watchdog stopped, and how often it had to be woken from idle sleep.
        public var watchdogFired, watchdogWakeups: UInt64
    }

    public static var counters: Counters {
        var raw = cv8_engine_counters()
        // SAFETY: fills the structure it is given.
        unsafe cv8_engine_counters_read(&raw)
        return Counters(
            liveIsolates: raw.live_isolates, isolatesMade: raw.isolates_made, imagesMade: raw.images_made,
            watchdogFired: raw.watchdog_fired, watchdogWakeups: raw.watchdog_wakeups)
    }
}
