/// One worker's counters, gauges and histograms.
///
/// Belongs to the worker's thread. An increment is a plain wrapping addition on a word inside the
/// object. The words are copied to shared memory now and then; nobody else reads them here.
public final class Metrics {
    /// Room for words; `wordCount` of them are in use.
    public static var capacity: Int { 384 }
    /// Counters first, then the histograms.
    public static var wordCount: Int { Counter.count + Histogram.allCases.count * Histogram.wordCount }

    /// Private, and never lent out: so the compiler proves that accesses do not overlap, and an increment costs no check.
    private var words: InlineArray<384, UInt64> = .init(repeating: 0)

    public init() {}

    public func add(_ counter: Counter, _ amount: Int = 1) {
        words[counter.rawValue] &+= UInt64(truncatingIfNeeded: amount)
    }

    /// Takes back what `add` gave to a gauge.
    public func subtract(_ gauge: Counter, _ amount: Int = 1) {
        words[gauge.rawValue] &-= UInt64(truncatingIfNeeded: amount)
    }

    /// Sets a gauge, or a counter that is kept elsewhere (slab pool, log buffer) and mirrored here.
    public func set(_ counter: Counter, _ value: Int) {
        words[counter.rawValue] = UInt64(truncatingIfNeeded: value)
    }

    public func observe(_ histogram: Histogram, microseconds: UInt64) {
        let first = histogram.firstWord
        words[first + Histogram.bucket(microseconds)] &+= 1
        words[first + Histogram.wordCount - 1] &+= microseconds
    }

    public subscript(counter: Counter) -> UInt64 { words[counter.rawValue] }

    /// A copy of the words in use, in catalogue order.
    public func withWords<Result, Failure: Error>(
        _ body: (Span<UInt64>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let copy = words
        return try body(copy.span.extracting(first: Metrics.wordCount))
    }
}

/// The words of several workers added up, and of workers that are gone.
public struct MetricTotals: Sendable, Equatable {
    public private(set) var words: [UInt64]

    public init() { words = Array(repeating: 0, count: Metrics.wordCount) }

    /// Adds a live worker's words.
    public mutating func add(_ other: Span<UInt64>) {
        for index in 0..<min(words.count, other.count) { words[index] &+= other[index] }
    }

    /// Adds the words of a worker that died: its counters stay, its gauges end with it.
    public mutating func addRetired(_ other: Span<UInt64>) {
        for index in 0..<min(words.count, other.count) {
            if index < Counter.count, Counter.catalogue[index].family.kind == .gauge { continue }
            words[index] &+= other[index]
        }
    }

    public subscript(counter: Counter) -> UInt64 { words[counter.rawValue] }

    public mutating func add(_ other: MetricTotals) { add(other.words.span) }

    mutating func add(_ value: UInt64, at index: Int) { words[index] &+= value }
}
