import Reactor
import Telemetry

/// What the supervisor may ask of a worker.
final class GatewayControl: WorkerControl {
    unowned let worker: Worker

    init(worker: Worker) throws(SystemError) {
        self.worker = worker
        try super.init(worker.context, reactor: worker)
    }

    override func configure(generation: UInt64, bundle: ConfigurationBundle) {
        worker.configure(generation: generation, bundle: bundle) { [weak self] result in
            guard let self else { return }
            switch result {
            case .success: ready(generation: generation)
            case .failure(let error):
                worker.metrics.add(.reloadsRefused)
                refuse(generation: generation, reason: "\(error)")
            }
        }
    }

    override func openListener(_ listener: InheritedListener) {
        worker.afterConfiguring { [worker] in
            do { try worker.open(listener) } catch { worker.note(.error, "listener \(listener.listener.name): \(error)") }
        }
    }

    override func closeListener(key: String) { worker.afterConfiguring { [worker] in worker.closeListener(key: key) } }
    override func fence(_ functions: [String]) { worker.hooks?.fence(Set(functions)) }
    override func move(_ functions: [String], fatal: [String]) { worker.hooks?.move(functions, fatal: fatal) }
    override func cordonEnded(_ id: UInt64, _ end: ProcessEnd) { worker.hooks?.cordons.ended(id, end) }
    override func drain(milliseconds: UInt64, idleMilliseconds: UInt64) {
        worker.drain(milliseconds: milliseconds, idle: idleMilliseconds)
    }
    override func reopenLogs() { try? worker.accessLog?.reopen() }
    override func tail(_ sink: LineSink?) { worker.accessLog?.sink = sink }
    override func look(id: UInt64, function: String, milliseconds: UInt64) {
        worker.look(at: function, milliseconds: milliseconds) { [weak self] in self?.looked(id, $0) }
    }
    override func origins() -> [OriginReport] { worker.upstreamGenerations.reports(worker.generation?.upstreams) }
    override func supervisorGone() { worker.stop() }
}
