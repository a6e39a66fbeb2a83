import Reactor
import Telemetry

/// Questions to all workers about their origin servers.
struct PendingOrigins {
    var last: UInt64 = 0
    var waiting: [UInt64: OriginGathering] = [:]
}

/// One such question, until all have answered or the time is up: a worker that is inside a hook answers late, or never.
final class OriginGathering: Timer {
    /// Milliseconds.
    static let patience: UInt64 = 500

    private unowned let supervisor: Supervisor
    private let id: UInt64
    var left: Set<Int32>
    var reports: [OriginReport] = []
    let done: ([OriginReport]) -> Void

    init(_ supervisor: Supervisor, _ id: UInt64, _ left: Set<Int32>, _ done: @escaping ([OriginReport]) -> Void) {
        self.supervisor = supervisor
        self.id = id
        self.left = left
        self.done = done
    }

    override func fire() { supervisor.finishGathering(id) }
}

/// How origin servers stand. Workers know; nothing is kept here.
extension Supervisor {
    /// Calls `done` once, with what the workers said within half a second.
    func askOrigins(_ done: @escaping ([OriginReport]) -> Void) {
        let asked = workers.compactMap { $0 }.filter { $0.state == .ready }
        guard !asked.isEmpty else { return done([]) }
        origins.last += 1
        let id = origins.last
        let gathering = OriginGathering(self, id, Set(asked.map(\.pid)), done)
        origins.waiting[id] = gathering
        reactor.schedule(gathering, after: OriginGathering.patience)
        for worker in asked { worker.send(.origins(id: id | Supervisor.originsMark)) }
    }

    /// Tells these answers from those about functions.
    static let originsMark: UInt64 = 1 << 63

    func originsCame(_ worker: WorkerProcess, _ id: UInt64, _ descriptor: consuming OwnedDescriptor?) {
        let id = id & ~Supervisor.originsMark
        guard let gathering = origins.waiting[id], gathering.left.remove(worker.pid) != nil else { return }
        if let descriptor, let bytes = try? SealedMemory.read(descriptor), let reports = try? OriginReport.decoded(bytes) {
            gathering.reports += reports
        }
        if gathering.left.isEmpty { finishGathering(id) }
    }

    /// A worker is gone: nobody waits for it.
    func originsLost(_ worker: WorkerProcess) {
        for (id, gathering) in origins.waiting where gathering.left.remove(worker.pid) != nil && gathering.left.isEmpty { finishGathering(id) }
    }

    fileprivate func finishGathering(_ id: UInt64) {
        guard let gathering = origins.waiting.removeValue(forKey: id) else { return }
        reactor.cancel(gathering)
        gathering.done(OriginReport.merged(gathering.reports))
    }

    // MARK: What is shown of them

    func append(_ origins: [OriginReport], _ json: inout JSONLineWriter) {
        json.beginArray("origins")
        for origin in origins {
            json.beginObject()
            json.field("upstream", origin.upstream)
            json.field("server", origin.server)
            json.field("up", origin.isUp)
            json.field("check", origin.check.name)
            json.field("ejected_ms", origin.ejectedFor)
            json.field("active", origin.active)
            json.field("waiting", origin.waiting)
            json.field("connections", origin.open)
            json.field("idle", origin.idle)
            json.endObject()
        }
        json.endArray()
    }

    func append(_ origins: [OriginReport], _ out: inout PrometheusText) {
        func family(_ name: String, _ help: String, _ value: (OriginReport) -> UInt64) {
            let family = MetricFamily(name, .gauge, help)
            out.begin(family)
            for origin in origins {
                let labels = "upstream=\"\(PrometheusText.escapedLabel(origin.upstream))\",server=\"\(PrometheusText.escapedLabel(origin.server))\""
                out.sample(name, labels, String(value(origin)))
            }
        }
        family("sluice_server_up", "Whether a server gets requests: 0 while it is ejected or its checks fail.") { $0.isUp ? 1 : 0 }
        family("sluice_server_ejected", "Whether a server is left out for what its own answers and connections showed.") { $0.ejectedFor > 0 ? 1 : 0 }
        family("sluice_server_check_failing", "Whether the active checks of a server say that it does not serve.") { $0.check == .failing ? 1 : 0 }
        family("sluice_server_requests_active", "Requests that a server is serving.") { $0.active }
        family("sluice_server_requests_waiting", "Requests that wait for a connection to a server.") { $0.waiting }
        family("sluice_server_connections", "Connections to a server, idle ones included.") { $0.open }
        family("sluice_server_connections_idle", "HTTP/1.1 connections to a server that are kept for the next request.") { $0.idle }
    }
}

extension OriginReport.Check {
    /// As in the answers of the admin API.
    var name: String {
        switch self {
        case .none: "none"
        case .pending: "pending"
        case .passing: "passing"
        case .failing: "failing"
        }
    }
}
