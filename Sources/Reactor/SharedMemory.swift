import CLinux

/// The memory that the supervisor and its workers share. Its layout is `struct sluice_shared`
/// in CLinux/shared.c, which also says who writes what.
@safe public final class SharedRegion {
    /// Areas of workers: two for each, because during an upgrade workers of both versions run.
    public static let slotCapacity = Int(SLUICE_SHARED_WORKERS)
    /// Largest number of workers.
    public static let workerCapacity = slotCapacity / 2
    /// Words of metrics each worker can publish.
    public static let wordCapacity = Int(SLUICE_SHARED_WORDS)
    /// Functions whose strikes are listed.
    public static let strikeCapacity = Int(SLUICE_SHARED_STRIKES)

    let region: OpaquePointer
    public let descriptor: OwnedDescriptor

    /// Makes a new region, all zero.
    public static func create() throws(SystemError) -> SharedRegion {
        let descriptor = try check(sluice_shared_create(), "memfd_create", "shared memory")
        return try SharedRegion(adopting: OwnedDescriptor(adopting: descriptor))
    }

    /// Maps a region that another process made.
    public init(adopting descriptor: consuming OwnedDescriptor) throws(SystemError) {
        var error: Int32 = 0
        // SAFETY: the C function checks size, seals and version, and returns a mapping or NULL; it is
        // unmapped in deinit only, and no pointer into it outlives a call.
        guard let region = unsafe sluice_shared_map(descriptor.number, &error) else {
            throw SystemError(
                call: "mmap", code: -error,
                subject: "shared memory (supervisor and workers must be the same program)")
        }
        unsafe self.region = region
        self.descriptor = descriptor
    }

    // SAFETY: last use of the mapping.
    deinit { unsafe sluice_shared_unmap(region) }

    // MARK: Worker side

    /// Copies a worker's metric words for the supervisor to read.
    public func publish(worker: Int, _ words: borrowing Span<UInt64>) {
        precondition(worker >= 0 && worker < SharedRegion.slotCapacity)
        unsafe words.withUnsafeBufferPointer { buffer in
            // SAFETY: worker is in range; the C function reads `count` words of the buffer.
            unsafe sluice_shared_publish(region, UInt32(worker), buffer.baseAddress, UInt32(buffer.count))
        }
    }

    /// Says that the worker's loop turns.
    public func beat(worker: Int, now: UInt64) {
        precondition(worker >= 0 && worker < SharedRegion.slotCapacity)
        // SAFETY: worker is in range, the mapping lives as long as self.
        unsafe sluice_shared_beat(region, UInt32(worker), now)
    }

    @inline(__always)
    func enter(
        worker: Int, label: borrowing RunningLabel, request: (high: UInt64, low: UInt64), started: UInt64, deadline: UInt64,
        generation: UInt64
    ) {
        // SAFETY: worker was checked when the slot was made; C reads the label before it returns.
        unsafe sluice_running_enter(region, UInt32(worker), label.storage, request.high, request.low, started, deadline, generation)
    }

    @inline(__always)
    func leave(worker: Int) {
        // SAFETY: worker was checked when the slot was made.
        unsafe sluice_running_leave(region, UInt32(worker))
    }

    // MARK: Supervisor side

    /// Clears a worker's area before its process starts.
    public func reset(worker: Int) {
        precondition(worker >= 0 && worker < SharedRegion.slotCapacity)
        // SAFETY: worker is in range and no process with this index runs.
        unsafe sluice_shared_reset(region, UInt32(worker))
    }

    /// The last words a worker published.
    public func words(worker: Int, count: Int) -> [UInt64] {
        precondition(worker >= 0 && worker < SharedRegion.slotCapacity && count <= SharedRegion.wordCapacity)
        return unsafe [UInt64](unsafeUninitializedCapacity: count) { buffer, filled in
            // SAFETY: C writes exactly `count` words, which is within the capacity of both.
            unsafe sluice_shared_words(region, UInt32(worker), buffer.baseAddress, UInt32(count))
            filled = count
        }
    }

    /// When the worker's loop last said that it turns, monotonic nanoseconds; 0 before its first turn.
    public func heartbeat(worker: Int) -> UInt64 {
        precondition(worker >= 0 && worker < SharedRegion.slotCapacity)
        // SAFETY: worker is in range.
        return unsafe sluice_shared_heartbeat(region, UInt32(worker))
    }

    /// The deadline of the hook call the worker is inside of, nil when it is not.
    public func runningDeadline(worker: Int) -> UInt64? {
        precondition(worker >= 0 && worker < SharedRegion.slotCapacity)
        // SAFETY: worker is in range.
        let deadline = unsafe sluice_running_deadline(region, UInt32(worker))
        return deadline == 0 ? nil : deadline
    }

    /// The hook call a worker is inside of (or was, when it died), nil when none.
    public func running(worker: Int) -> RunningReport? {
        precondition(worker >= 0 && worker < SharedRegion.slotCapacity)
        var copy = sluice_running()
        // SAFETY: worker is in range; C fills the whole struct and cuts lengths to the arrays.
        unsafe sluice_running_copy(region, UInt32(worker), &copy)
        return copy.running == 1 ? RunningReport(copy) : nil
    }

    /// Lists a function's strikes at `index` (below `strikeCapacity`).
    public func setStrikes(index: Int, function: String, strikes: Int, fenced: Bool) {
        var name = function
        name.withUTF8 { bytes in
            // SAFETY: C copies at most the count passed and cuts it to the entry.
            unsafe sluice_strikes_set(
                region, UInt32(index), UnsafeRawPointer(bytes.baseAddress)?.assumingMemoryBound(to: CChar.self),
                UInt32(bytes.count), UInt32(strikes), fenced ? 1 : 0)
        }
    }

    /// Functions with strikes.
    public func strikes() -> [(function: String, strikes: Int, fenced: Bool)] {
        (0..<SharedRegion.strikeCapacity).compactMap { index in
            var count: UInt32 = 0
            var fenced: UInt32 = 0
            var strikes: UInt32 = 0
            let capacity = Int(SLUICE_FUNCTION_BYTES)
            let name = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, filled in
                // SAFETY: C writes at most `capacity` bytes and says how many.
                strikes = unsafe sluice_strikes_get(
                    region, UInt32(index), UnsafeMutableRawPointer(buffer.baseAddress)?.assumingMemoryBound(to: CChar.self),
                    UInt32(capacity), &count, &fenced)
                filled = Int(count)
            }
            return strikes == 0 ? nil : (String(decoding: name, as: UTF8.self), Int(strikes), fenced == 1)
        }
    }
}

/// The texts that name a hook call: function, rule, and where the rule is written. Make it once
/// when a configuration is loaded; entering a call then costs no string work.
@safe public struct RunningLabel: ~Copyable {
    // Apart, because a structure that is lent by its address is copied first, and calls lend it all the time.
    fileprivate let storage: UnsafeMutablePointer<sluice_running_label>

    /// - Parameter identity: differs for every label of a worker, and is not 0.
    public init(identity: UInt32, function: String, rule: String, place: String) {
        var label = sluice_running_label()
        label.identity = identity
        label.function_count = RunningLabel.fill(&label.function, function)
        label.rule_count = RunningLabel.fill(&label.rule, rule)
        label.place_count = RunningLabel.fill(&label.place, place)
        // SAFETY: freed in deinit, and never written again.
        unsafe storage = .allocate(capacity: 1)
        unsafe storage.initialize(to: label)
    }

    deinit {
        // SAFETY: allocated by init; whoever borrows the label keeps it alive.
        unsafe storage.deallocate()
    }

    /// Copies as much of `text` as fits into a C array.
    private static func fill<Characters: BitwiseCopyable>(_ target: inout Characters, _ text: String) -> UInt16 {
        // SAFETY: the target is a C array of bytes; no more than its size is written.
        unsafe withUnsafeMutableBytes(of: &target) { bytes in
            var count = 0
            for byte in text.utf8.prefix(bytes.count) {
                unsafe (bytes[count] = byte)
                count += 1
            }
            return UInt16(count)
        }
    }
}

/// A worker's "who is running" slot: written before each hook call, cleared after it, so that the
/// supervisor knows which hook a dead or stuck worker was in.
public struct RunningSlot {
    private let region: SharedRegion
    private let worker: Int

    public init(region: SharedRegion, worker: Int) {
        precondition(worker >= 0 && worker < SharedRegion.slotCapacity)
        self.region = region
        self.worker = worker
    }

    /// - Parameters:
    ///   - request: 128 bits of its id; zeros for a call that is not a request's.
    ///   - started: monotonic nanoseconds.
    ///   - deadline: when the worker's own watchdog must have stopped the call. A call that still runs
    ///     250 ms after it costs the worker its life.
    @inline(__always)
    public func enter(
        _ label: borrowing RunningLabel, request: (high: UInt64, low: UInt64), started: UInt64, deadline: UInt64, generation: UInt64
    ) {
        region.enter(
            worker: worker, label: label, request: request, started: started, deadline: deadline, generation: generation)
    }

    @inline(__always)
    public func leave() { region.leave(worker: worker) }
}

/// A copy of a running slot for people and for the supervisor's decisions.
public struct RunningReport: Sendable, Equatable {
    public let function: String
    public let rule: String
    /// file:line of the rule.
    public let place: String
    public let request: String
    /// Counts the worker's calls: an equal number is the same call.
    public let sequence: UInt64
    public let started: UInt64
    public let deadline: UInt64
    public let generation: UInt64

    public init(
        function: String, rule: String = "", place: String = "", request: String = "", sequence: UInt64 = 0,
        started: UInt64 = 0, deadline: UInt64 = 0, generation: UInt64 = 0
    ) {
        self.function = function
        self.rule = rule
        self.place = place
        self.request = request
        self.sequence = sequence
        self.started = started
        self.deadline = deadline
        self.generation = generation
    }

    init(_ raw: sluice_running) {
        function = RunningReport.text(raw.label.function, UInt32(raw.label.function_count))
        rule = RunningReport.text(raw.label.rule, UInt32(raw.label.rule_count))
        place = RunningReport.text(raw.label.place, UInt32(raw.label.place_count))
        request = RunningReport.digits(raw.request_high, raw.request_low)
        sequence = raw.sequence
        started = raw.started_ns
        deadline = raw.deadline_ns
        generation = raw.generation
    }

    /// 32 hexadecimal digits, or nothing for zeros.
    private static func digits(_ high: UInt64, _ low: UInt64) -> String {
        guard high | low != 0 else { return "" }
        return [high, low].map { word in
            let text = String(word, radix: 16)
            return String(repeating: "0", count: 16 - text.utf8.count) + text
        }.joined()
    }

    private static func text<Characters: BitwiseCopyable>(_ characters: Characters, _ count: UInt32) -> String {
        // SAFETY: a C array of bytes; the slice is cut to its size.
        unsafe withUnsafeBytes(of: characters) { bytes in
            unsafe String(decoding: bytes.prefix(Int(count)), as: UTF8.self)
        }
    }
}
