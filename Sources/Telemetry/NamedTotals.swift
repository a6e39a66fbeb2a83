/// Totals by name, so that another version of the program finds what it knows of them, wherever its words are.
extension MetricTotals {
    /// Gauges are left out: they end with the worker that set them.
    public var named: [String: UInt64] {
        var result: [String: UInt64] = [:]
        for (name, index) in MetricTotals.names where words[index] > 0 { result[name] = words[index] }
        return result
    }

    /// Names that this version does not know are left out.
    public init(named: [String: UInt64]) {
        self.init()
        for (name, index) in MetricTotals.names {
            if let value = named[name] { add(value, at: index) }
        }
    }

    /// Name and word of everything that only grows.
    private static let names: [(String, Int)] = {
        var result = Counter.catalogue.filter { $0.family.kind != .gauge }.map { ("\($0.family.name){\($0.labels)}", $0.counter.rawValue) }
        for histogram in Histogram.allCases {
            for (index, bound) in Histogram.bounds.enumerated() { result.append(("\(histogram.family.name):\(bound)", histogram.firstWord + index)) }
            result.append(("\(histogram.family.name):more", histogram.firstWord + Histogram.bounds.count))
            result.append(("\(histogram.family.name):sum", histogram.firstWord + Histogram.wordCount - 1))
        }
        return result
    }()
}
