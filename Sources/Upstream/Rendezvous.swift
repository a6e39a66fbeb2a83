import HTTP

/// Consistent hashing: each server owns points on a ring, a key belongs to the next point. When a server comes or goes,
/// only the keys of its own points move.
struct HashRing {
    /// Sorted by position.
    private let points: [(at: UInt64, server: Int)]
    /// Of a server with weight 1, while there are not too many in all.
    private static let pointsEach = 160
    private static let mostPoints = 65_536

    /// - Parameter servers: name and weight of each. The same names give the same ring in every worker and generation.
    init(_ servers: [(name: String, weight: Int)]) {
        let total = servers.reduce(0) { $0 + $1.weight } * HashRing.pointsEach
        // A server's points are its own affair: when another one leaves, no key moves between those that stay.
        var halvings = 0
        while total >> halvings > HashRing.mostPoints { halvings += 1 }
        var made: [(at: UInt64, server: Int)] = []
        for (index, server) in servers.enumerated() {
            let share = max(1, HashRing.pointsEach * server.weight >> halvings)
            for number in 0..<share { made.append((HashRing.hash("\(server.name)#\(number)"), index)) }
        }
        points = made.sorted { ($0.at, $0.server) < ($1.at, $1.server) }
    }

    /// The owner of `key`, or the next one on the ring that is `usable`.
    func server(for key: UInt64, usable: (Int) -> Bool) -> Int? {
        guard !points.isEmpty else { return nil }
        var low = 0
        var high = points.count
        while low < high {
            let middle = (low + high) / 2
            if points[middle].at < key { low = middle + 1 } else { high = middle }
        }
        for step in 0..<points.count {
            let server = points[(low + step) % points.count].server
            if usable(server) { return server }
        }
        return nil
    }

    static func hash(_ text: String) -> UInt64 {
        var hash = BalanceKey.start
        for byte in text.utf8 { hash = BalanceKey.add(byte, to: hash) }
        return BalanceKey.finish(hash)
    }
}
