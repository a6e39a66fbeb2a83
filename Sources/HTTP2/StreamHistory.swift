/// What became of streams that nghttp2 has forgotten, as far as late frames make it matter.
///
/// Resets are remembered longer: their late frames are no fault of the client. A client has at most the
/// concurrent streams on their way when it hears of one.
struct StreamHistory {
    enum Fate {
        case resetByUs, closed
        /// Never opened, or long over.
        case unknown
    }

    /// The highest stream number the client opened.
    var highest: Int32 = 0
    private var resets = RecentStreams(room: 256)
    private var closings = RecentStreams(room: 16)

    mutating func resetByUs(_ id: Int32) { resets.insert(id) }

    mutating func closed(_ id: Int32) { closings.insert(id) }

    func fate(of id: Int32) -> Fate {
        if resets.contains(id) { return .resetByUs }
        return closings.contains(id) ? .closed : .unknown
    }
}

/// The last stream numbers that something happened to.
private struct RecentStreams {
    let room: Int
    private var ids: [Int32] = []
    private var next = 0

    init(room: Int) { self.room = room }

    mutating func insert(_ id: Int32) {
        if ids.count < room {
            ids.append(id)
        } else {
            ids[next] = id
            next = (next + 1) % room
        }
    }

    func contains(_ id: Int32) -> Bool { ids.contains(id) }
}
