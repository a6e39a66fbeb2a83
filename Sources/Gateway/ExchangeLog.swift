import HTTP
import Reactor
import Rules
import Telemetry
import Upstream

/// What is counted and written when an exchange is over.
extension ExchangeRunner {
    func log() {
        if let trace = rules.trace, worker.stage == nil { logTrace(trace) }
        let now = worker.nowNanoseconds
        worker.metrics.add(.forwardedRequest, requestBytes)
        let bytesSent = stream?.bytesSent ?? 0
        worker.metrics.add(.forwardedResponse, bytesSent)
        worker.metrics.subtract(.requestsActive)
        let microseconds = (now &- started) / 1000
        countCall()
        worker.metrics.observe(.requestDuration, microseconds: microseconds)
        if let developer = worker.developer { developer.ended(self, microseconds: microseconds) }
        if let generation {
            generation.tallies.count(matched: matchedRules)
            generation.series.countSite(
                site, status: statusSent, bytesIn: requestBytes, bytesOut: bytesSent, microseconds: microseconds, error: error)
            generation.series.countOrigin(origin)
        }
        if let spans { worker.spans.take(self, spans, now: worker.preciseNow) }
        guard let logger = worker.accessLog, logger.isWanted else { return }
        logger.log(self, bytesSent: bytesSent, protocolVersion: request.version, now: now)
    }
}
