/// Buckets for durations of named things: four for each doubling, so that a percentile is known to a fifth of its value.
///
/// Bucket 0 takes what is below 16 us, the last one what is above half a minute.
public enum LatencyScale {
    public static let bucketCount = 86
    private static let firstOctave = 4
    private static let octaves = 21

    /// The bucket of a duration in microseconds.
    public static func bucket(_ microseconds: UInt64) -> Int {
        guard microseconds >= 1 << UInt64(firstOctave) else { return 0 }
        let octave = 63 - microseconds.leadingZeroBitCount
        guard octave < firstOctave + octaves else { return bucketCount - 1 }
        let quarter = Int(truncatingIfNeeded: microseconds >> UInt64(octave - 2)) & 3
        return 1 + (octave - firstOctave) * 4 + quarter
    }

    /// What a bucket's durations stay below, in microseconds; `UInt64.max` for the last one.
    public static func upperBound(_ bucket: Int) -> UInt64 {
        guard bucket > 0 else { return 1 << UInt64(firstOctave) }
        guard bucket < bucketCount - 1 else { return .max }
        let octave = UInt64(firstOctave + (bucket - 1) / 4)
        return 1 << octave + (UInt64((bucket - 1) % 4) + 1) << (octave - 2)
    }

    /// The duration that a share of all stays below, in microseconds; nil when there is none.
    /// - Parameter share: 0 to 1.
    public static func percentile(_ share: Double, _ buckets: ArraySlice<UInt64>) -> UInt64? {
        let total = buckets.reduce(0, &+)
        guard total > 0 else { return nil }
        let wanted = max(1, UInt64((Double(total) * share).rounded(.up)))
        var seen: UInt64 = 0
        for (offset, count) in buckets.enumerated() {
            seen &+= count
            if seen >= wanted { return offset == bucketCount - 1 ? upperBound(offset - 1) : upperBound(offset) }
        }
        return nil
    }
}
