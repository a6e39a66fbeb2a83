import CLinux

/// One worker's view of what all workers know of origin servers: one of them asks a server, all of them know.
public struct HealthBoard {
    /// Servers that can be known at once; each worker asks further ones for itself.
    public static let capacity = Int(SLUICE_HEALTH_ENTRIES)

    public enum Verdict: Sendable { case unknown, up, down }

    private let region: SharedRegion
    private let worker: UInt32

    public init(region: SharedRegion, worker: Int) {
        precondition(worker >= 0 && worker < SharedRegion.slotCapacity)
        self.region = region
        self.worker = UInt32(worker)
    }

    /// The entry of a server, which stays its own while it is used at least every ten minutes.
    /// - Parameters:
    ///   - key: stands for the server and for how it is asked; not 0.
    ///   - now: monotonic milliseconds, here and below.
    public func entry(key: UInt64, now: UInt64) -> HealthEntry {
        // SAFETY: the mapping lives as long as the region, which `self` holds; so in all calls below. C checks the slot.
        HealthEntry(board: self, key: key, slot: unsafe sluice_health_slot(region.region, key, now))
    }

    fileprivate func claim(_ entry: borrowing HealthEntry, _ now: UInt64, _ end: UInt64) -> Bool {
        // SAFETY: as in `entry`.
        unsafe sluice_health_claim(region.region, entry.slot, entry.key, worker, now, end) == 1
    }

    fileprivate func tell(_ entry: borrowing HealthEntry, _ verdict: Int) {
        // SAFETY: as in `entry`.
        unsafe sluice_health_tell(region.region, entry.slot, entry.key, worker, UInt32(verdict))
    }

    fileprivate func verdict(_ entry: borrowing HealthEntry, _ now: UInt64) -> Int {
        // SAFETY: as in `entry`.
        Int(unsafe sluice_health_verdict(region.region, entry.slot, entry.key, now))
    }

    fileprivate func eject(_ entry: borrowing HealthEntry, _ end: UInt64) {
        // SAFETY: as in `entry`.
        unsafe sluice_health_eject(region.region, entry.slot, entry.key, end)
    }

    fileprivate func ejected(_ entry: borrowing HealthEntry) -> UInt64 {
        // SAFETY: as in `entry`.
        unsafe sluice_health_ejected(region.region, entry.slot, entry.key)
    }
}

/// What all workers know of one server.
public struct HealthEntry {
    fileprivate let board: HealthBoard
    fileprivate let key: UInt64
    /// -1: there was no room; this worker asks for itself and nobody is told.
    fileprivate let slot: Int32

    /// Whether this worker is the one that asks the server now, and until `end` unless it says so again.
    public func claim(now: UInt64, until end: UInt64) -> Bool { board.claim(self, now, end) }

    /// What the one that asks found.
    public func tell(isDown: Bool) { board.tell(self, isDown ? SLUICE_HEALTH_DOWN : SLUICE_HEALTH_UP) }

    public func verdict(now: UInt64) -> HealthBoard.Verdict {
        switch board.verdict(self, now) {
        case SLUICE_HEALTH_UP: .up
        case SLUICE_HEALTH_DOWN: .down
        default: .unknown
        }
    }

    /// All workers leave the server out until then.
    public func eject(until end: UInt64) { board.eject(self, end) }

    /// Monotonic milliseconds; 0 when it never was.
    public var ejectedUntil: UInt64 { board.ejected(self) }
}
