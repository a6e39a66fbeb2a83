import Isolates

/// A loaded function: its source, its isolate on this worker, and the calls under way in it.
public final class HookFunction {
    public let source: HookSource
    public var name: String { source.name }
    public var counters: HookCounters { tally }
    var tally = HookCounters()

    unowned let runtime: HookRuntime
    /// The runtime's, kept here because it is asked several times per call.
    let host: HookHost
    var loaded: LoadedIsolate?
    /// The isolate as it was looked at last.
    var seen: HookFootprint?
    private var handlers: Int32 = 0
    /// When its last call began.
    var lastUsed: UInt64 = 0
    private var rules: [HookRule] = []
    private var losses: [UInt64] = []
    /// Why the isolate could not be made when it was last tried.
    private(set) var loadFailure: HookLoadError?
    /// Of the modules that something failed in; nil for those without one.
    var maps: [String: SourceMap?] = [:]
    /// Of the source's modules; may come later than the source.
    public var bytecode: [String: [UInt8]] = [:]

    private var slots = SlotTable()
    var names = NameTable()
    var expectations = (request: Expectation(), response: Expectation())
    /// Texts of fields may stay in its isolate for calls to come: not where no call may see anything of another.
    let keepsTexts: Bool
    public var callsUnderWay: Int { slots.inUse }
    /// Those that somebody waits for the result of.
    var callsWithExchange: Int { slots.all.count { $0.exchange != nil } }
    /// Bodies and values of its calls that wait in the gateway as a whole.
    var heldBytes: Int { slots.all.reduce(0) { $0 + $1.heldBytes } }

    var events: [HookEvent] = [] { didSet { hasEvents = !events.isEmpty } }
    private(set) var hasEvents = false
    /// Of the call that `start` runs, until it takes it.
    var startOutcome: HookOutcome?
    /// Timers by number, with the slot of their call.
    var timers: [Int32: Int32] = [:]
    var lastTimer: Int32 = 0
    /// What its calls wait for that runs beside the requests.
    var works: [HookWork] = [] { didSet { hasWorks = !works.isEmpty } }
    private var hasWorks = false

    init(_ source: HookSource, _ runtime: HookRuntime) {
        self.source = source
        self.runtime = runtime
        host = runtime.host
        keepsTexts = source.isolation == .worker
    }

    func load() throws(HookLoadError) { loaded = try makeIsolate() }

    /// Whether the module has a handler for the phase; also while its isolate is lost. Loads a function that was only
    /// registered; one that cannot be loaded handles everything, so that its calls end in its policy.
    public func handles(_ phase: HookPhase) -> Bool {
        if handlers == 0, readyIsolate() == nil { return true }
        return handlers & (1 << phase.rawValue) != 0
    }

    /// Its handlers are known.
    public var wasLoaded: Bool { handlers != 0 }

    /// Loads a function that was only registered, off the way of any request. False when there was nothing to do.
    public func warmUp() -> Bool {
        guard loaded == nil, handlers == 0, losses.isEmpty else { return false }
        return readyIsolate() != nil
    }

    /// Bytes of V8 heap and of ArrayBuffers in use.
    public var memoryInUse: UInt64 {
        guard let loaded else { return 0 }
        let statistics = loaded.isolate.statistics
        return statistics.usedHeap + statistics.externalBytes
    }

    // MARK: Loading

    /// Prepares a rule's use of this function: parses and freezes its arguments.
    public func bind(_ rule: HookRule) throws(HookLoadError) -> HookBinding {
        guard rule.arguments.utf8.count <= 100 << 10 else {
            throw loadError("the arguments of rule \"\(rule.name)\" are larger than 100 KiB")
        }
        let index = Int32(rules.count)
        if let loaded {
            // Worlds that are ready lack the rule.
            loaded.usedWorlds += loaded.readyWorlds
            loaded.readyWorlds.removeAll()
            if source.isolation == .request { loaded.isolate.enterWorld(0) }
            try install(rule, index, in: loaded)
        }
        rules.append(rule)
        return HookBinding(index: index)
    }

    func rule(_ binding: Int32) -> HookRule? { rules.indices.contains(Int(binding)) ? rules[Int(binding)] : nil }

    private func makeIsolate() throws(HookLoadError) -> LoadedIsolate {
        host.willLoad(self)
        defer { host.didLoad(self) }
        let made: LoadedIsolate
        do throws(JSError) {
            made = try LoadedIsolate(source, HookOperations(self), host.takeSpare(SpareKind(source.limits)))
        } catch {
            throw loadError("no isolate could be made: \(error.message)")
        }
        if let (inspector, folder) = host.inspector(of: self) { made.isolate.openInspector(inspector, folder: folder) }
        try furnish(made)
        tally.isolatesMade += 1
        tally.cachesUsed += UInt64(made.isolate.cacheCounts.used)
        tally.cachesRefused += UInt64(made.isolate.cacheCounts.refused)
        return made
    }

    /// Loads the module and the rules' arguments into the world that the isolate is in.
    func furnish(_ made: LoadedIsolate) throws(HookLoadError) {
        try inLoadTurn(made) { () throws(HookLoadError) in try self.evaluate(made) }
        for (index, rule) in rules.enumerated() { try install(rule, Int32(index), in: made) }
    }

    private func evaluate(_ made: LoadedIsolate) throws(HookLoadError) {
        let module: JSValue
        if source.webAssembly { _ = made.isolate.call(HookEntry.webAssembly.rawValue) }
        do throws(CallFailure) {
            module = try made.isolate.loadModule(source.main, from: ModuleSources(files: source.modules, builtIn: builtInModules, binaries: source.binaries, caches: bytecode))
        } catch {
            switch error {
            case .threw(let thrown): throw loadError(thrown)
            case .terminated: throw loadError("the module did not finish loading within \(loadMilliseconds) ms")
            }
        }
        let result = made.isolate.call(HookEntry.install.rawValue, with: [.value(module), .json(grants)])
        switch result {
        case .int(let mask) where mask != 0: handlers = mask
        case .threw(let thrown): throw loadError(thrown)
        default:
            throw loadError(
                "the module has no handler: export default { onRequest, onResponse, onError, fetch or scheduled }, or addEventListener")
        }
    }

    /// `env` as JSON: variables by name, upstreams by index.
    private var grants: String {
        let variables = source.variables.merging(source.secrets) { $1 }.map { "\(jsonText($0.key)):\(jsonText($0.value))" }.joined(separator: ",")
        return """
            {"heldBack":[\(source.heldBack.map(jsonText).joined(separator: ","))],\
            "outside":\(source.reachesOutside),"answers":\(keepsTexts),"variables":{\(variables)},\
            "upstreams":[\(source.upstreams.map(jsonText).joined(separator: ","))],\
            "keys":{\(source.keys.map { "\(jsonText($0.key)):\($0.value)" }.joined(separator: ","))},\
            "stores":[\(source.stores.map { jsonText($0.name) }.joined(separator: ","))]}
            """
    }

    private func install(_ rule: HookRule, _ index: Int32, in made: LoadedIsolate) throws(HookLoadError) {
        try inLoadTurn(made) { () throws(HookLoadError) in
            let result = made.isolate.call(HookEntry.bind.rawValue, with: [
                .int(index), .json(rule.arguments), .string(rule.name), .string(rule.file), .int(Int32(clamping: rule.line)),
            ])
            if case .threw(let error) = result {
                throw self.loadError("the arguments of rule \"\(rule.name)\" are not JSON: \(error.message)")
            }
        }
    }

    private var loadMilliseconds: UInt64 { 1_000 }

    private func inLoadTurn(_ made: LoadedIsolate, _ body: () throws(HookLoadError) -> Void) throws(HookLoadError) {
        host.willRun(self, nil)
        made.isolate.beginTurn(cpuMicroseconds: loadMilliseconds * 1_000, wallMilliseconds: loadMilliseconds * 10)
        defer {
            made.isolate.endTurn()
            host.didRun(self, nil)
        }
        try body()
    }

    private func loadError(_ error: JSError) -> HookLoadError {
        let ours = error.file == HookPrelude.name || error.file.isEmpty
        guard !ours else {
            return HookLoadError(function: name, message: error.message, file: source.main, line: 0, column: 0, sourceLine: "")
        }
        let place = written((error.file, error.line, error.column))
        return HookLoadError(
            function: name, message: error.message, file: place.file, line: place.line, column: place.column,
            sourceLine: place.file == error.file ? error.sourceLine : "")
    }

    func loadError(_ message: String) -> HookLoadError {
        HookLoadError(function: name, message: message, file: source.main, line: 0, column: 0, sourceLine: "")
    }

    // MARK: Losing the isolate

    /// The isolate for a call, made again if the last one was lost; nil when that happened too often lately.
    func readyIsolate() -> LoadedIsolate? {
        if let loaded { return loaded }
        let now = host.now
        losses.removeAll { now &- $0 > 10_000_000_000 }
        guard losses.count < 5 else { return nil }
        do throws(HookLoadError) {
            loaded = try makeIsolate()
            loadFailure = nil
        } catch {
            loadFailure = error
            losses.append(now)
        }
        return loaded
    }

    /// The heap limit was reached.
    func loseIsolate() {
        losses.append(host.now)
        giveUpIsolate("the function's memory limit was reached")
    }

    /// Every call in the isolate is lost with it.
    func giveUpIsolate(_ reason: String) {
        let memory = memoryInUse
        loaded = nil
        seen = nil
        timers.removeAll()
        for call in slots.all {
            guard call.exchange != nil || call.isHeld else {
                endTail(call)
                continue
            }
            var failure = HookFailure(.memory, call, reason)
            failure.memoryBytes = memory
            if call.exchange != nil { fail(call, failure) } else if call.socket.isOpen { breakSocket(call, failure) } else { breakStreams(call, failure) }
        }
    }

    /// The runtime ends, and nobody may ask it for anything any more.
    func drop() { loaded = nil }

    func close() {
        for call in slots.all { end(call) }
        events.removeAll()
        loaded = nil
    }

    // MARK: Slots

    func call(_ slot: Int32, _ epoch: Int32) -> HookCall? { slots.call(slot, epoch) }

    func callInSlot(_ slot: Int32) -> HookCall? { slots.callInSlot(slot) }

    func open(_ call: HookCall) { (call.slot, call.epoch) = slots.open(call) }

    /// Makes the call's objects unusable and its slot free.
    func end(_ call: HookCall) {
        if hasWorks { dropWorks(of: call) }
        guard slots.close(call.slot, call) else { return }
        if call.progress.timers > 0 { timers = timers.filter { $0.value != call.slot } }
        call.slot = -1
        if call.world >= 0 { takeWorld(from: call) }
        call.values.exchange = nil
        call.edits.reset()
        if call.isBusyStreaming { call.streams.rest() }
        if call.hasOpenSocket { call.socket.isOpen = false }
        if call.hasLinks { call.links.removeAll() }
    }

    /// Whether a deadline still concerns anyone.
    func isWaiting(for entry: Deadlines.Entry) -> Bool {
        guard let call = call(entry.slot, entry.epoch) else { return false }
        return entry.timer == 0 ? call.progress.wallDeadline == entry.time : timers[entry.timer] != nil
    }
}

/// Calls by slot. An epoch names one use of a slot and moves on when the call ends: what still holds the old one is dead.
struct SlotTable {
    private struct Slot {
        var call: HookCall?
        var epoch: Int32 = 1
        /// Of a free slot: the one that was freed before it, or -1.
        var before: Int32 = -1
    }

    private var slots: [Slot] = []
    private var lastFree: Int32 = -1
    private(set) var inUse = 0

    var all: [HookCall] { slots.compactMap { $0.call } }

    func call(_ slot: Int32, _ epoch: Int32) -> HookCall? {
        let index = Int(slot)
        guard slots.indices.contains(index), slots[index].epoch == epoch else { return nil }
        return slots[index].call
    }

    func callInSlot(_ slot: Int32) -> HookCall? { slots.indices.contains(Int(slot)) ? slots[Int(slot)].call : nil }

    mutating func open(_ call: HookCall) -> (slot: Int32, epoch: Int32) {
        inUse &+= 1
        guard lastFree >= 0 else {
            slots.append(Slot(call: call))
            return (Int32(slots.count - 1), 1)
        }
        let slot = lastFree
        lastFree = slots[Int(slot)].before
        slots[Int(slot)].call = call
        return (slot, slots[Int(slot)].epoch)
    }

    /// False when the call is not in the slot (any more).
    mutating func close(_ slot: Int32, _ call: HookCall) -> Bool {
        let index = Int(slot)
        guard slots.indices.contains(index), slots[index].call === call else { return false }
        let epoch = slots[index].epoch
        slots[index] = Slot(call: nil, epoch: epoch == .max ? 1 : epoch &+ 1, before: lastFree)
        lastFree = slot
        inUse &-= 1
        return true
    }
}

/// An isolate and what belongs to it.
final class LoadedIsolate {
    let isolate: Isolate
    /// With `isolation: request`: worlds that wait for a call, worlds that calls have left, and all but world 0.
    var readyWorlds: [Int32] = [], usedWorlds: [Int32] = []
    var worldsInUse = 0

    init(_ source: HookSource, _ operations: HookOperations, _ spare: HookSpare?) throws(JSError) {
        if !source.webAssembly, let taken = spare?.isolate.take(name: source.name, externalBytes: source.limits.externalBytes, operations: operations) {
            isolate = taken
            return
        }
        var limits = IsolateLimits()
        limits.heapBytes = source.limits.memoryBytes
        limits.externalBytes = source.limits.externalBytes
        limits.webAssemblyBytes = source.webAssembly ? source.limits.memoryBytes : 0
        isolate = try Isolate(name: source.name, prelude: try HookPrelude.shared(), limits: limits, operations: operations)
    }
}

/// A JSON string.
func jsonText(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": out += "\\\""
        case "\\": out += "\\\\"
        case "\u{20}"...: out.unicodeScalars.append(scalar)
        default:
            let digits = String(scalar.value, radix: 16)
            out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        }
    }
    return out + "\""
}
