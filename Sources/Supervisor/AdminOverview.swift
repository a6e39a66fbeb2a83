import Reactor
import Telemetry

/// What the dashboard and `sluice top` look at: counters as they are, so that whoever asks twice can tell rates.
extension Supervisor {
    func overviewText(_ report: WorkerReport) -> String {
        let totals = counted()
        return JSONBody.object { json in
            json.field("version", options.version)
            json.field("now_ms", reactor.now)
            json.field("started", startedAt)
            json.field("phase", phase.rawValue)
            json.field("configuration", options.configurationPath)
            json.field("generation", current.number)
            appendLastReload(&json)
            appendWorkers(&json)
            appendTotals(totals, &json)
            appendSeries(&json)
            append(report, &json)
            appendStrikes(&json)
            appendCertificates(&json)
        }
    }

    private func appendLastReload(_ json: inout JSONLineWriter) {
        json.beginObject("last_reload")
        json.field("result", reload.last.result)
        json.field("at", reload.last.at)
        json.field("message", reload.last.message)
        json.endObject()
    }

    private func appendWorkers(_ json: inout JSONLineWriter) {
        json.field("worker_deaths", deaths)
        json.beginArray("workers")
        for (index, worker) in workers.enumerated() {
            json.beginObject()
            json.field("index", index)
            json.field("state", worker?.state.rawValue ?? "waiting")
            if let worker {
                let words = shared.words(worker: worker.slot, count: Metrics.wordCount)
                json.field("pid", Int(worker.pid))
                json.field("generation", worker.generation)
                json.field("uptime_ms", reactor.now - worker.startedAt)
                json.field("active", words[Counter.requestsActive.rawValue])
                json.field("connections", words[Counter.connectionsActive.rawValue])
            }
            json.endObject()
        }
        json.endArray()
    }

    private func appendTotals(_ totals: MetricTotals, _ json: inout JSONLineWriter) {
        func sum(_ counters: Counter...) -> UInt64 { counters.reduce(0) { $0 &+ totals[$1] } }
        json.beginObject("totals")
        json.field("requests", sum(.requestsHTTP10, .requestsHTTP11, .requestsHTTP2))
        json.field("active", sum(.requestsActive))
        json.field("connections", sum(.connectionsActive))
        json.field("tunnels", sum(.tunnelsActive))
        json.field("handshakes", sum(.tlsHandshakesFull, .tlsHandshakesResumed))
        json.field("bytes_in", sum(.forwardedRequest))
        json.field("bytes_out", sum(.forwardedResponse))
        json.field("log_dropped", sum(.logLinesDropped))
        json.field("bugs", sum(.bugs))
        json.endObject()
    }

    private func appendSeries(_ json: inout JSONLineWriter) {
        let all = namedSeries()
        for kind in SeriesKind.allCases {
            json.beginArray(kind.name + "s")
            for entry in all where entry.kind == kind { append(entry, &json) }
            json.endArray()
        }
    }

    private func append(_ entry: NamedSeries, _ json: inout JSONLineWriter) {
        json.beginObject()
        json.field("name", entry.name)
        for count in SeriesCount.allCases where entry.words[count] > 0 { json.field(count.name, entry.words[count]) }
        // Pairs of upper bound in microseconds and count, without the empty buckets.
        json.beginArray("buckets")
        for (offset, count) in entry.words.buckets.enumerated() where count > 0 {
            json.beginArray()
            let last = offset == LatencyScale.bucketCount - 1
            json.number(LatencyScale.upperBound(last ? offset - 1 : offset))
            json.number(count)
            json.endArray()
        }
        json.endArray()
        json.endObject()
    }

    func appendStrikes(_ json: inout JSONLineWriter) {
        json.beginArray("strikes")
        for (name, entry) in strikes.entries.sorted(by: { $0.key < $1.key }) {
            json.beginObject()
            json.field("function", name)
            json.field("strikes", entry.strikes)
            json.field("cordon_strikes", entry.cordonStrikes)
            json.field("moved", entry.moved)
            json.field("fenced", entry.fenced)
            json.endObject()
        }
        json.endArray()
    }

    /// Every rule of the configuration in use with how often it matched: `[id, hits, shadow hits, limited]`.
    func rulesText() -> String {
        JSONBody.object { json in
            json.field("generation", current.number)
            json.beginArray("rules")
            for part in current.bundle.parts where part.kind == ConfigurationBundle.Part.rule {
                let counts = shared.tallies(SharedRegion.tallyKey(part.name)) ?? [0, 0, 0]
                json.beginArray()
                json.string(part.name)
                for count in counts { json.number(count) }
                json.endArray()
            }
            json.endArray()
        }
    }
}

extension SeriesCount {
    /// As in the answers of the admin API.
    var name: String {
        switch self {
        case .status1xx: "1xx"
        case .status2xx: "2xx"
        case .status3xx: "3xx"
        case .status4xx: "4xx"
        case .status5xx: "5xx"
        case .statusNone: "none"
        case .bytesIn: "bytes_in"
        case .bytesOut: "bytes_out"
        case .errorsClient: "errors_client"
        case .errorsOrigin: "errors_origin"
        case .errorsGateway: "errors_gateway"
        case .retries: "retries"
        case .calls: "calls"
        case .failures: "failures"
        case .cpuMicroseconds: "cpu_us"
        case .policies: "policies"
        }
    }
}
