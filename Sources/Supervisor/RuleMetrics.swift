import Reactor
import Telemetry

/// Counters of rules by their stable id: they outlive workers and reloads.
extension Supervisor {
    /// Rules whose counters are shown at most, so that no configuration makes the page endless.
    static let shownRules = 20_000

    func appendRules(_ out: inout PrometheusText) {
        let shared = self.shared
        let rules = current.bundle.parts.lazy.filter { $0.kind == ConfigurationBundle.Part.rule }.prefix(Supervisor.shownRules)
        let counted = rules.compactMap { rule in
            shared.tallies(SharedRegion.tallyKey(rule.name)).map { (id: PrometheusText.escapedLabel(rule.name), counts: $0) }
        }
        let matches = MetricFamily("sluice_rule_hits_total", .counter, "Requests a rule matched, by its id.")
        out.begin(matches)
        for rule in counted {
            out.sample(matches.name, "rule=\"\(rule.id)\",mode=\"on\"", String(rule.counts[Int(RuleTally.matched.rawValue)]))
            let shadowed = rule.counts[Int(RuleTally.shadowed.rawValue)]
            if shadowed > 0 { out.sample(matches.name, "rule=\"\(rule.id)\",mode=\"shadow\"", String(shadowed)) }
        }
        let limited = MetricFamily(
            "sluice_rule_limited_total", .counter, "Requests over the rate limit of a rule (in shadow mode they passed).")
        out.begin(limited)
        for rule in counted where rule.counts[Int(RuleTally.limited.rawValue)] > 0 {
            out.sample(limited.name, "rule=\"\(rule.id)\"", String(rule.counts[Int(RuleTally.limited.rawValue)]))
        }
    }
}
