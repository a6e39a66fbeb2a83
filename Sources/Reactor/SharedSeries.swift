import CLinux

/// One named thing that is counted, as the shared memory holds it.
public struct SeriesEntry: Sendable, Equatable {
    public var kind: UInt32
    public var name: String
    public var words: [UInt64]
}

extension SharedRegion {
    /// Words of one entry.
    public static let seriesWords = Int(SLUICE_SERIES_WORDS)

    /// The entry of a thing; nil when more things than there is room for were counted since the start.
    /// - Parameters:
    ///   - kind: not 0.
    ///   - name: cut behind 104 bytes.
    public func seriesSlot(kind: UInt32, name: String) -> Int32? {
        precondition(kind != 0)
        // SAFETY: the string is readable for `count` bytes during the call; the mapping lives as long as self.
        let slot = unsafe sluice_series_slot(region, kind, name, name.utf8.count)
        return slot < 0 ? nil : slot
    }

    /// Adds to the words of an entry.
    public func add(_ words: borrowing Span<UInt64>, toSeries slot: Int32) {
        unsafe words.withUnsafeBufferPointer { buffer in
            // SAFETY: C reads `count` words of the buffer and checks the slot.
            unsafe sluice_series_add(region, slot, buffer.baseAddress, UInt32(buffer.count))
        }
    }

    /// Everything that was counted, in no particular order.
    public func allSeries() -> [SeriesEntry] {
        var entries: [SeriesEntry] = []
        for slot in 0..<Int32(SLUICE_SERIES_ENTRIES) {
            if let entry = series(slot) { entries.append(entry) }
        }
        return entries
    }

    private func series(_ slot: Int32) -> SeriesEntry? {
        var words = [UInt64](repeating: 0, count: SharedRegion.seriesWords)
        // SAFETY: C writes the name with its NUL into the room, and at most `count` words.
        return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(SLUICE_SERIES_NAME) + 1) { name in
            guard let base = name.baseAddress else { return nil }
            let kind = unsafe sluice_series_read(region, slot, base, &words, UInt32(words.count))
            return kind == 0 ? nil : SeriesEntry(kind: kind, name: unsafe String(cString: base), words: words)
        }
    }
}
