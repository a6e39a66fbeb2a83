import HTTP

/// Consistent hashing by the highest random weight (rendezvous hashing): each server draws a number for each key, and the best draw
/// has the key. A draw depends on the key and on that server alone, so when a server comes, goes or is out, only its own keys move,
/// whatever the weights and however many there are.
struct Rendezvous {
    private let servers: [(key: UInt64, perWeight: Double)]

    /// - Parameter servers: name and weight of each. The same names give the same choice in every worker and generation.
    init(_ servers: [(name: String, weight: Int)]) {
        self.servers = servers.map { (Rendezvous.hash($0.name), 1 / Double(max($0.weight, 1))) }
    }

    /// The owner of `key` among those that are `usable`.
    func server(for key: UInt64, usable: (Int) -> Bool) -> Int? {
        var best: Int?
        var least = Double.infinity
        for index in servers.indices {
            let drawn = Rendezvous.drawn(BalanceKey.finish(key ^ servers[index].key)) * servers[index].perWeight
            if drawn < least, usable(index) { (best, least) = (index, drawn) }
        }
        return best
    }

    /// -ln(u), exponentially distributed, for an even `u` in (0, 1): of several such numbers, each divided by a weight, the least is
    /// a server's as often as its share of the weights says. The logarithm is good to 1e-5, and the same everywhere.
    private static func drawn(_ bits: UInt64) -> Double {
        let even = Double(bits >> 11 | 1) * 0x1p-53
        let ratio = (even.significand - 1) / (even.significand + 1)
        let square = ratio * ratio
        let mantissa = 2 * ratio * (1 + square * (1 / 3 + square * (1 / 5 + square / 7)))
        return -(Double(even.exponent) * 0.693_147_180_559_945_3 + mantissa)
    }

    static func hash(_ text: String) -> UInt64 {
        var hash = BalanceKey.start
        for byte in text.utf8 { hash = BalanceKey.add(byte, to: hash) }
        return BalanceKey.finish(hash)
    }
}
