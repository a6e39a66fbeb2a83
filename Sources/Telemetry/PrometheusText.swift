/// Writes the Prometheus text exposition format, version 0.0.4, or OpenMetrics 1.0.
public struct PrometheusText: Sendable {
    public enum Format: Sendable { case prometheus, openMetrics }

    public private(set) var text = ""
    private let format: Format

    public init(_ format: Format = .prometheus) { self.format = format }

    /// The format for what a client accepts: OpenMetrics only for those who name it.
    public static func format(accept: String) -> Format {
        accept.lowercased().contains("application/openmetrics-text") ? .openMetrics : .prometheus
    }

    public var contentType: String {
        switch format {
        case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }

    /// Call it once, behind the last sample.
    public mutating func end() { if format == .openMetrics { text += "# EOF\n" } }

    /// Begins a family. Its samples must follow before the next family begins.
    public mutating func begin(_ family: MetricFamily) {
        var name = family.name
        // There a counter's family has the name without the ending that its samples have.
        if format == .openMetrics, family.kind == .counter, name.hasSuffix("_total") { name.removeLast("_total".count) }
        let help = format == .openMetrics ? PrometheusText.escapedLabel(family.help) : PrometheusText.escapedHelp(family.help)
        text += "# HELP \(name) \(help)\n"
        text += "# TYPE \(name) \(family.kind.rawValue)\n"
    }

    /// - Parameter labels: `key="value"` pairs joined by commas, values already escaped; may be empty.
    public mutating func sample(_ name: String, _ labels: String, _ value: String) {
        text += labels.isEmpty ? "\(name) \(value)\n" : "\(name){\(labels)} \(value)\n"
    }

    /// A family of one sample without labels.
    public mutating func single(_ family: MetricFamily, _ value: UInt64) {
        begin(family)
        sample(family.name, "", String(value))
    }

    /// All worker counters and histograms.
    public mutating func append(_ totals: MetricTotals) {
        var current: MetricFamily?
        for series in Counter.catalogue {
            if series.family != current {
                begin(series.family)
                current = series.family
            }
            sample(series.family.name, series.labels, String(totals[series.counter]))
        }
        for histogram in Histogram.allCases { append(histogram, totals.words) }
    }

    private mutating func append(_ histogram: Histogram, _ words: [UInt64]) {
        let family = histogram.family
        begin(family)
        var cumulative: UInt64 = 0
        for (index, bound) in Histogram.bounds.enumerated() {
            cumulative &+= words[histogram.firstWord + index]
            sample("\(family.name)_bucket", "le=\"\(PrometheusText.seconds(bound))\"", String(cumulative))
        }
        cumulative &+= words[histogram.firstWord + Histogram.bounds.count]
        sample("\(family.name)_bucket", "le=\"+Inf\"", String(cumulative))
        let sum = words[histogram.firstWord + Histogram.wordCount - 1]
        sample("\(family.name)_sum", "", PrometheusText.seconds(sum))
        sample("\(family.name)_count", "", String(cumulative))
    }

    /// Microseconds as decimal seconds without trailing zeros: 2500 is "0.0025".
    public static func seconds(_ microseconds: UInt64) -> String {
        let fraction = microseconds % 1_000_000
        guard fraction != 0 else { return String(microseconds / 1_000_000) }
        var digits = String(fraction)
        digits = String(repeating: "0", count: 6 - digits.count) + digits
        while digits.last == "0" { digits.removeLast() }
        return "\(microseconds / 1_000_000).\(digits)"
    }

    /// A label value may hold anything; backslash, quote and line feed are escaped.
    public static func escapedLabel(_ value: String) -> String {
        var result = ""
        for character in value.unicodeScalars {
            switch character {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }

    private static func escapedHelp(_ value: String) -> String {
        var result = ""
        for character in value.unicodeScalars {
            switch character {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }
}
