import Reactor

/// A time in which a listening socket cannot take connections: what is told of it, and when it is over. Decides only.
struct AcceptTrouble {
    /// Milliseconds without a failure after which it is over.
    static let quiet: UInt64 = 1000
    /// Milliseconds between two lines while it lasts.
    static let reminder: UInt64 = 60_000

    private var lastFailure: UInt64?
    private var toldAt: UInt64 = 0
    private var refused = 0

    var isOn: Bool { lastFailure != nil }

    /// Nothing could be accepted, and so many of those who waited were refused.
    /// - Returns: how many were refused so far, when it is time to say so.
    mutating func failed(refusing count: Int, now: UInt64) -> Int? {
        refused += count
        let begins = lastFailure == nil
        lastFailure = now
        guard begins || now >= toldAt + AcceptTrouble.reminder else { return nil }
        toldAt = now
        return refused
    }

    /// - Returns: how many were refused in all, when it has just come to its end.
    mutating func ended(now: UInt64) -> Int? {
        guard let last = lastFailure, now >= last + AcceptTrouble.quiet else { return nil }
        defer {
            lastFailure = nil
            refused = 0
        }
        return refused
    }
}

extension AcceptTrouble {
    /// What can be done, where that is known.
    static func remedy(_ error: SystemError) -> String {
        switch error.code {
        case 24: "; raise LimitNOFILE= of the unit (ulimit -n), or lower limits.connections"  // EMFILE
        case 23: "; raise fs.file-max of this machine"  // ENFILE
        default: ""
        }
    }
}
