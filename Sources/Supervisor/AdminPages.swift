import Reactor
import Telemetry

/// What the admin address shows.
extension Supervisor {
    // MARK: Metrics

    func metricsResponse(accept: String, _ report: WorkerReport) -> AdminResponse {
        let totals = counted()
        var out = PrometheusText(PrometheusText.format(accept: accept))
        out.append(totals)
        appendOwn(&out)
        append(report, &out)
        out.append(namedSeries())
        out.end()
        return AdminResponse(type: out.contentType, body: out.text)
    }

    /// Sites, functions, upstreams and servers that were counted since the start, by kind and name.
    func namedSeries() -> [NamedSeries] {
        let all = shared.allSeries().compactMap { entry in
            SeriesKind(rawValue: entry.kind).map { NamedSeries(kind: $0, name: entry.name, words: entry.words) }
        }
        return all.sorted { ($0.kind.rawValue, $0.name) < ($1.kind.rawValue, $1.name) }
    }

    private func appendOwn(_ out: inout PrometheusText) {
        let build = MetricFamily("sluice_build_info", .gauge, "The running version.")
        out.begin(build)
        out.sample(build.name, "version=\"\(PrometheusText.escapedLabel(options.version))\"", "1")
        let up = MetricFamily("sluice_worker_up", .gauge, "Whether a worker serves.")
        out.begin(up)
        for (index, worker) in workers.enumerated() {
            out.sample(up.name, "worker=\"\(index)\"", worker?.state == .ready ? "1" : "0")
        }
        out.single(
            MetricFamily("sluice_worker_deaths_total", .counter, "Workers that died and were replaced."), UInt64(deaths))
        out.single(
            MetricFamily("sluice_generation", .gauge, "Number of the configuration in use."), current.number)
        out.single(
            MetricFamily("sluice_config_stale", .gauge, "1 while the configuration on disk was refused and an older one is served."),
            reload.staleness.isStale ? 1 : 0)
        out.single(
            MetricFamily("sluice_certificate_stale", .gauge, "1 while a certificate on disk was refused and the old one is served."),
            reload.staleness.isOfCertificate ? 1 : 0)
        appendCertificates(&out)
        let reloads = MetricFamily("sluice_reloads_total", .counter, "Reloads asked for, by outcome.")
        out.begin(reloads)
        out.sample(reloads.name, "result=\"applied\"", String(reload.succeeded))
        out.sample(reloads.name, "result=\"refused\"", String(reload.refused))
        out.single(
            MetricFamily("sluice_upgrades_total", .counter, "Times that a new process took the place of the one before it."), UInt64(upgrades))
        out.single(
            MetricFamily("sluice_upgrades_failed_total", .counter, "Upgrades that were given up; this process went on serving."),
            UInt64(upgrade.failed))
        out.single(
            MetricFamily("sluice_draining_predecessor", .gauge, "1 while the process before this one finishes its requests."),
            predecessor == nil ? 0 : 1)
        out.single(
            MetricFamily("sluice_supervisor_cordon_deaths_total", .counter, "Hook processes that ended other than by themselves, of all workers."),
            UInt64(cordonDeaths))
        appendRules(&out)
        let struck = MetricFamily("sluice_function_strikes", .gauge, "Workers a hook function has cost.")
        out.begin(struck)
        for (name, entry) in strikes.entries.sorted(by: { $0.key < $1.key }) {
            out.sample(struck.name, "function=\"\(PrometheusText.escapedLabel(name))\"", String(entry.strikes))
        }
        out.single(
            MetricFamily("sluice_functions_fenced", .gauge, "Hook functions that may not run."),
            UInt64(strikes.fenced.count))
    }

    // MARK: Status

    func statusText() -> String {
        var json = JSONLineWriter(capacity: 4096)
        json.beginObject()
        json.field("version", options.version)
        json.field("pid", Int(ProcessSetup.pid))
        json.field("started", startedAt)
        json.field("phase", phase.rawValue)
        json.field("configuration", options.configurationPath)
        json.field("generation", current.number)
        json.beginArray("workers")
        for (index, worker) in workers.enumerated() { append(worker, index, &json) }
        json.endArray()
        json.field("worker_deaths", deaths)
        json.field("cordon_deaths", cordonDeaths)
        json.field("cordons", cordons.count)
        json.field("upgrades", upgrades)
        json.field("predecessor", predecessor == nil ? "none" : "draining")
        if let folder = crashes.folder { json.field("crash_reports", folder) }
        json.field("crash_reports_written", crashes.written)
        json.beginArray("listeners")
        for entry in listeners.entries {
            json.beginObject()
            json.field("name", entry.actual.name)
            json.field("address", entry.actual.endpoint)
            json.endObject()
        }
        json.endArray()
        json.field("admin", admin.map { $0.link ?? $0.endpoint } ?? "off")
        appendReload(&json)
        json.beginArray("fenced")
        for name in strikes.fenced { json.string(name) }
        json.endArray()
        appendStrikes(&json)
        json.endObject()
        json.endLine()
        return JSONBody.text(json)
    }

    private func append(_ worker: WorkerProcess?, _ index: Int, _ json: inout JSONLineWriter) {
        json.beginObject()
        json.field("index", index)
        json.field("state", worker?.state.rawValue ?? "waiting")
        if let worker {
            json.field("pid", Int(worker.pid))
            json.field("generation", worker.generation)
            json.field("uptime_ms", reactor.now - worker.startedAt)
            if let report = shared.running(worker: worker.slot) {
                json.field("running", report.function)
            }
        }
        json.endObject()
    }

    private func appendReload(_ json: inout JSONLineWriter) {
        json.beginObject("last_reload")
        json.field("result", reload.last.result)
        json.field("at", reload.last.at)
        json.field("message", reload.last.message)
        json.field("applied", reload.succeeded)
        json.field("refused", reload.refused)
        json.endObject()
    }
}
