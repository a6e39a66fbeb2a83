/// Durations a worker keeps as histograms. All share one set of buckets.
public enum Histogram: Int, CaseIterable, Sendable {
    /// From the first byte of a request's head to the last byte of its response.
    case requestDuration
    /// From the request sent to the first byte of the origin's answer.
    case upstreamFirstByte
    /// Wall time of one hook call, waiting included.
    case hookTime
    /// For how long a function that was needed held its worker up until it was ready: isolate, module, arguments.
    case functionLoad
    /// How late the event loop was with a timer that is due ten times a second.
    case loopLag

    /// Upper bounds of the buckets in microseconds, ascending; a last bucket takes the rest.
    public static let bounds: [UInt64] = [
        50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000,
        100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
    ]

    /// Words of one histogram: a count per bucket (not cumulative), then the sum in microseconds.
    public static var wordCount: Int { 19 }

    public var family: MetricFamily {
        switch self {
        case .requestDuration:
            MetricFamily("sluice_request_duration_seconds", .histogram, "Time to serve a request.")
        case .upstreamFirstByte:
            MetricFamily("sluice_upstream_first_byte_seconds", .histogram, "Time until an origin began to answer.")
        case .hookTime:
            MetricFamily("sluice_hook_duration_seconds", .histogram, "Wall time of hook calls.")
        case .functionLoad:
            MetricFamily("sluice_function_load_seconds", .histogram, "Time to make a function ready on its worker: isolate, module, arguments of rules.")
        case .loopLag:
            MetricFamily("sluice_loop_lag_seconds", .histogram, "How late the event loop was with a timer that is due ten times a second.")
        }
    }

    /// Index of the first word in `Metrics`.
    @inlinable
    public var firstWord: Int { Counter.count + rawValue * Histogram.wordCount }

    /// The bucket that `microseconds` falls in. Written out so that it compiles to comparisons with
    /// constants; a test holds it equal to `bounds`.
    @inlinable
    public static func bucket(_ microseconds: UInt64) -> Int {
        switch microseconds {
        case ...50: 0
        case ...100: 1
        case ...250: 2
        case ...500: 3
        case ...1_000: 4
        case ...2_500: 5
        case ...5_000: 6
        case ...10_000: 7
        case ...25_000: 8
        case ...50_000: 9
        case ...100_000: 10
        case ...250_000: 11
        case ...500_000: 12
        case ...1_000_000: 13
        case ...2_500_000: 14
        case ...5_000_000: 15
        case ...10_000_000: 16
        default: 17
        }
    }
}
