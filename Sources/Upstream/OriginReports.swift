public import Reactor

/// How servers stand, for those who look at the gateway.
extension UpstreamSet {
    /// - Parameter isCurrent: an older set adds what it still serves; how its servers fare is not asked any more.
    public func reports(isCurrent: Bool) -> [OriginReport] {
        let now = context.reactor.now
        return groups.flatMap { group in
            group.servers.compactMap { server in
                isCurrent || server.busy > 0 || server.open > 0 ? server.report(now, isCurrent: isCurrent) : nil
            }
        }
    }
}

extension Server {
    fileprivate func report(_ now: UInt64, isCurrent: Bool) -> OriginReport {
        let host = address.host.contains(":") ? "[\(address.host)]" : address.host
        var report = OriginReport(upstream: settings.name, server: "\(host):\(address.port)")
        report.active = UInt64(max(0, busy))
        report.waiting = UInt64(waiting.count)
        report.open = UInt64(max(0, open))
        report.idle = UInt64(idle.count)
        guard isCurrent else { return report }
        if settings.health != nil { report.check = health.isDown ? .failing : health.isKnown ? .passing : .pending }
        if health.passedOverUntil > now { report.ejectedFor = health.passedOverUntil - now }
        return report
    }
}
