import Buffers

/// Networks as sorted intervals that do not overlap: membership is one binary search per family.
struct AddressSet: Sendable {
    private struct Interval: Sendable {
        var first: UInt128
        var last: UInt128
    }
    private let v4: [Interval]
    private let v6: [Interval]

    init(_ ranges: [AddressRange]) {
        v4 = Self.merge(ranges.filter { !$0.network.isV6 }.map { Self.interval($0, bits: 32) })
        v6 = Self.merge(ranges.filter { $0.network.isV6 }.map { Self.interval($0, bits: 128) })
    }

    func contains(_ address: IPAddress) -> Bool {
        let intervals = address.isV6 ? v6 : v4
        let value = Self.number(address)
        var low = 0
        var high = intervals.count
        while low < high {
            let middle = (low + high) / 2
            if intervals[middle].last < value { low = middle + 1 } else { high = middle }
        }
        return low < intervals.count && intervals[low].first <= value
    }

    private static func number(_ address: IPAddress) -> UInt128 {
        UInt128(address.high) << 64 | UInt128(address.low)
    }

    private static func interval(_ range: AddressRange, bits: Int) -> Interval {
        let host = bits - range.prefix
        let mask: UInt128 = host >= 128 ? .max : (UInt128(1) << UInt128(host)) - 1
        let first = number(range.network) & ~mask
        return Interval(first: first, last: first | mask)
    }

    private static func merge(_ intervals: [Interval]) -> [Interval] {
        var merged: [Interval] = []
        for interval in intervals.sorted(by: { $0.first < $1.first }) {
            if let last = merged.last, interval.first <= last.last {
                merged[merged.count - 1].last = max(last.last, interval.last)
            } else {
                merged.append(interval)
            }
        }
        return merged
    }
}
