import Buffers
import Reactor
import Rules
import Telemetry

/// Looks ten times a second at what the worker uses, and has it give up what `Overload` says.
final class OverloadWatch: Timer {
    private unowned let worker: Worker
    private let gauge = ResourceGauge()
    private(set) var state = Overload()
    /// Part of its memory that the worker uses.
    private(set) var memory = 0.0
    private var looks = 0
    /// What the worker's isolates may hold together, in bytes.
    private(set) var isolateBytes = Overload.isolateBytes(limit: .max, memory: 0)

    init(_ worker: Worker) { self.worker = worker }

    func start() { worker.schedule(self, after: 100) }

    /// Bytes this worker may use: as configured, or its share of four fifths of what there is.
    private func memoryLimit(_ configured: Int) -> Int {
        guard configured == 0 else { return configured }
        let workers = worker.context.settings["workers"].flatMap { Int($0) } ?? 1
        return gauge.memoryTotal / 5 * 4 / max(1, workers)
    }

    /// What isolates may hold together while functions of a configuration are loaded that is not in use yet.
    func isolateBytes(for configuration: Configuration) -> UInt64 {
        min(isolateBytes, Overload.isolateBytes(limit: memoryLimit(configuration.limits.memory), memory: 0))
    }

    override func fire() {
        look()
        worker.schedule(self, after: 100)
    }

    private func look() {
        looks += 1
        let resident = gauge.residentBytes, limit = max(1, memoryLimit(worker.generation?.configuration.limits.memory ?? 0))
        worker.metrics.set(.memoryResident, resident)
        var pressure = Overload.Pressure()
        pressure.memory = Double(resident) / Double(limit)
        memory = pressure.memory
        isolateBytes = Overload.isolateBytes(limit: limit, memory: memory)
        pressure.connections = Double(worker.connectionCount) / Double(worker.generation?.configuration.limits.connections ?? .max)
        // The kernel gives the lowest number that is free, so the newest tells how many there are.
        pressure.descriptors = Double(worker.newestDescriptor) / Double(gauge.descriptorLimit)
        worker.newestDescriptor = 0
        if state.update(pressure) { changed(pressure) }
        worker.pool.heldAtMost = Overload.heldAtMost(pressure.memory)
        if state.closesIdle { giveUpIdle() }
        // What was freed counts until the system has it back: without that a worker would stay short of what nobody uses.
        guard state.stopsAccepting || state.closesIdle, looks % 10 == 0 else { return }
        worker.pool.releaseFree()
        gauge.trim()
    }

    private func changed(_ pressure: Overload.Pressure) {
        worker.refusesRequests = state.refuses
        worker.shedsIdleConnections = state.closesIdle
        worker.metrics.set(.overloadStopsAccepting, state.stopsAccepting ? 1 : 0)
        worker.metrics.set(.overloadClosesIdle, state.closesIdle ? 1 : 0)
        worker.metrics.set(.overloadRefuses, state.refuses ? 1 : 0)
        let percent = { (part: Double) in "\(Int(part * 100)) %" }
        worker.note(
            .warning, "overload: \(state.text) (memory \(percent(pressure.memory)), connections \(percent(pressure.connections)), "
                + "descriptors \(percent(pressure.descriptors)) of their limits)")
        worker.pauseAccepting(state.stopsAccepting)
    }

    private func giveUpIdle() {
        for connection in Array(worker.openConnections.values) {
            if (connection as? any Drainable)?.closeIfIdle() == true { worker.metrics.add(.shedConnections) }
        }
    }
}
