/// What is counted by name.
public enum SeriesKind: UInt32, CaseIterable, Sendable {
    case site = 1, function, upstream, server

    public var name: String {
        switch self {
        case .site: "site"
        case .function: "function"
        case .upstream: "upstream"
        case .server: "server"
        }
    }
}

/// The words of a named thing before its durations. Which of them a kind uses stands in `SeriesCatalogue`.
public enum SeriesCount: Int, CaseIterable, Sendable {
    case status1xx, status2xx, status3xx, status4xx, status5xx, statusNone
    case bytesIn, bytesOut
    case errorsClient, errorsOrigin, errorsGateway
    case retries
    case calls, failures, cpuMicroseconds, policies

    /// Room for words; the durations follow.
    public static let room = 24
    /// Words of a thing in use.
    public static let wordCount = room + LatencyScale.bucketCount + 1
    /// The sum of all durations in microseconds.
    public static let durationSum = room + LatencyScale.bucketCount

    /// The word for a final status.
    public static func status(_ status: Int) -> SeriesCount {
        switch status {
        case 0: .statusNone
        case ..<200: .status1xx
        case ..<300: .status2xx
        case ..<400: .status3xx
        case ..<500: .status4xx
        default: .status5xx
        }
    }
}

/// The counters of one thing, as numbers.
public struct SeriesWords: Sendable {
    public let words: [UInt64]
    public init(_ words: [UInt64]) { self.words = words }

    public subscript(count: SeriesCount) -> UInt64 { words[count.rawValue] }
    public var buckets: ArraySlice<UInt64> { words[SeriesCount.room..<(SeriesCount.room + LatencyScale.bucketCount)] }
    /// Microseconds.
    public var durationSum: UInt64 { words[SeriesCount.durationSum] }
    public var durationCount: UInt64 { buckets.reduce(0, &+) }
}

/// What the words of each kind are called outside.
public struct SeriesFamily: Sendable {
    public let family: MetricFamily
    public let kind: SeriesKind
    /// Word and further label (`key="value"`, may be empty).
    public let words: [(word: SeriesCount, label: String)]
    /// Divides the word: 1, or 1,000,000 where microseconds are shown as seconds.
    public let divisor: UInt64

    /// Counters of all kinds.
    public static let counters: [SeriesFamily] = [
        SeriesFamily(
            MetricFamily("sluice_site_requests_total", .counter, "Requests of a site, by status class."), .site, classes),
        SeriesFamily(
            MetricFamily("sluice_site_bytes_total", .counter, "Body bytes of a site, by direction."), .site,
            [(.bytesIn, "direction=\"in\""), (.bytesOut, "direction=\"out\"")]),
        SeriesFamily(
            MetricFamily("sluice_site_errors_total", .counter, "Requests of a site that ended in an error, by whose fault it was."), .site,
            [(.errorsClient, "side=\"client\""), (.errorsOrigin, "side=\"origin\""), (.errorsGateway, "side=\"gateway\"")]),
        SeriesFamily(
            MetricFamily("sluice_function_calls_total", .counter, "Calls of a hook function."), .function, [(.calls, "")]),
        SeriesFamily(
            MetricFamily("sluice_function_failures_total", .counter, "Calls of a hook function that failed."), .function, [(.failures, "")]),
        SeriesFamily(
            MetricFamily("sluice_function_policies_total", .counter, "Failed calls that its on_error policy answered."), .function,
            [(.policies, "")]),
        SeriesFamily(
            MetricFamily("sluice_function_cpu_seconds_total", .counter, "CPU time of a hook function."), .function,
            [(.cpuMicroseconds, "")], divisor: 1_000_000),
        SeriesFamily(
            MetricFamily("sluice_upstream_requests_total", .counter, "Requests sent to an upstream, by the status class of its answer."),
            .upstream, classes),
        SeriesFamily(
            MetricFamily("sluice_upstream_request_retries_total", .counter, "Attempts at an upstream beyond the first."), .upstream,
            [(.retries, "")]),
        SeriesFamily(
            MetricFamily("sluice_server_requests_total", .counter, "Requests that a server answered last, by status class."), .server, classes),
    ]

    /// Durations of all kinds.
    public static let durations: [SeriesFamily] = [
        SeriesFamily(MetricFamily("sluice_site_request_duration_seconds", .histogram, "Time to serve a request of a site."), .site, []),
        SeriesFamily(
            MetricFamily("sluice_function_call_cpu_seconds", .histogram, "CPU time of one call of a hook function."), .function, []),
        SeriesFamily(
            MetricFamily("sluice_upstream_response_seconds", .histogram, "Time until an upstream began to answer."), .upstream, []),
        SeriesFamily(MetricFamily("sluice_server_response_seconds", .histogram, "Time until a server began to answer."), .server, []),
    ]

    private static var classes: [(word: SeriesCount, label: String)] {
        [
            (.status2xx, "class=\"2xx\""), (.status3xx, "class=\"3xx\""), (.status4xx, "class=\"4xx\""), (.status5xx, "class=\"5xx\""),
            (.status1xx, "class=\"1xx\""), (.statusNone, "class=\"none\""),
        ]
    }

    private init(_ family: MetricFamily, _ kind: SeriesKind, _ words: [(word: SeriesCount, label: String)], divisor: UInt64 = 1) {
        self.family = family
        self.kind = kind
        self.words = words
        self.divisor = divisor
    }
}

/// A named thing with its counters, for showing.
public struct NamedSeries: Sendable {
    public let kind: SeriesKind
    public let name: String
    public let words: SeriesWords

    public init(kind: SeriesKind, name: String, words: [UInt64]) {
        self.kind = kind
        self.name = name
        self.words = SeriesWords(words)
    }

    /// `site="shop"`; a server's name is `UPSTREAM ADDRESS`.
    public var label: String {
        guard kind == .server, let space = name.firstIndex(of: " ") else {
            return "\(kind.name)=\"\(PrometheusText.escapedLabel(name))\""
        }
        let server = PrometheusText.escapedLabel(String(name[name.index(after: space)...]))
        return "upstream=\"\(PrometheusText.escapedLabel(String(name[..<space])))\",server=\"\(server)\""
    }
}

extension PrometheusText {
    /// The counters and durations of named things.
    public mutating func append(_ series: [NamedSeries]) {
        for family in SeriesFamily.counters {
            begin(family.family)
            for entry in series where entry.kind == family.kind {
                for (word, label) in family.words {
                    let labels = label.isEmpty ? entry.label : "\(entry.label),\(label)"
                    let value = entry.words[word]
                    sample(family.family.name, labels, family.divisor == 1 ? String(value) : PrometheusText.seconds(value))
                }
            }
        }
        for family in SeriesFamily.durations {
            begin(family.family)
            for entry in series where entry.kind == family.kind { append(family.family.name, entry) }
        }
    }

    /// Every second bucket: a reader of percentiles loses little, and a scrape is half as long.
    private mutating func append(_ name: String, _ entry: NamedSeries) {
        var seen: UInt64 = 0
        for (offset, count) in entry.words.buckets.enumerated() {
            seen &+= count
            guard offset % 2 == 0, offset < LatencyScale.bucketCount - 1 else { continue }
            sample("\(name)_bucket", "\(entry.label),le=\"\(PrometheusText.seconds(LatencyScale.upperBound(offset)))\"", String(seen))
        }
        sample("\(name)_bucket", "\(entry.label),le=\"+Inf\"", String(seen))
        sample("\(name)_sum", entry.label, PrometheusText.seconds(entry.words.durationSum))
        sample("\(name)_count", entry.label, String(seen))
    }
}
