/// Decides what a worker gives up when it runs short, cheapest first: isolates of functions that nobody uses, taking new connections, then idle connections, then
/// new requests. What was given up comes back when there is clearly room again, so that nothing flips back and forth.
struct Overload {
    /// Parts of a whole, 1 and above: full.
    struct Pressure {
        var memory = 0.0
        var connections = 0.0
        var descriptors = 0.0
    }

    private(set) var stopsAccepting = false
    /// Idle connections are closed, and none is kept after its response.
    private(set) var closesIdle = false
    /// New requests are answered with 503 and Retry-After.
    private(set) var refuses = false

    /// How far below its threshold a pressure must fall before something comes back.
    static let slack = 0.04

    /// True when something changed.
    mutating func update(_ pressure: Pressure) -> Bool {
        let before = (stopsAccepting, closesIdle, refuses)
        // The gateway's own table of connections has a limit of its own that refuses the newest; before that, room is made.
        let crowded = max(pressure.connections, pressure.descriptors)
        closesIdle = Overload.holds(closesIdle, pressure.memory, 0.95) || Overload.holds(closesIdle, crowded, 0.90)
        stopsAccepting = Overload.holds(stopsAccepting, pressure.memory, 0.90) || Overload.holds(stopsAccepting, pressure.descriptors, 0.97)
        refuses = Overload.holds(refuses, pressure.memory, 0.98)
        return before != (stopsAccepting, closesIdle, refuses)
    }

    /// Bytes that may be held for a slow client, by how much of its memory the worker uses. Early, because many can become slow
    /// between two looks.
    static func heldAtMost(_ memory: Double) -> Int {
        switch memory {
        case ..<0.5: .max
        case ..<0.6: 128 << 10
        case ..<0.7: 64 << 10
        default: 32 << 10
        }
    }

    /// Bytes that the isolates of a worker may hold together, of the `limit` for all of its memory: half of it, and less while
    /// memory is short, so that functions nobody uses go before a client notices anything.
    static func isolateBytes(limit: Int, memory: Double) -> UInt64 {
        let share = memory < 0.80 ? 4 : memory < 0.84 ? 3 : memory < 0.87 ? 2 : 1
        return UInt64(clamping: min(mostForIsolates, max(0, limit) / 8 * share))
    }

    /// From so much of its memory on a worker ends what keeps isolates alive: WebSockets of hooks, bodies that they make and `waitUntil` work. While it
    /// accepts no connections, calls that wait for something as well, or it would accept none until they are over.
    static let endsHeldHooks = 0.87

    /// However much there is: a thousand idle functions, and a worker that stays within 1.5 GiB with them.
    private static let mostForIsolates = 1_408 << 20

    private static func holds(_ now: Bool, _ pressure: Double, _ threshold: Double) -> Bool {
        pressure >= (now ? threshold - slack : threshold)
    }

    /// For the log.
    var text: String {
        let parts = [(stopsAccepting, "accepting no connections"), (closesIdle, "closing idle connections"), (refuses, "refusing requests")]
        let true_ = parts.filter(\.0).map(\.1)
        return true_.isEmpty ? "over" : true_.joined(separator: ", ")
    }
}
