import CLinux

extension SharedRegion {
    /// What a worker that wants to run a schedule is told.
    public enum ScheduleClaim: Sendable, Equatable {
        /// Run it, then call `finishSchedule`.
        case run
        /// Another worker does, or did.
        case taken
        /// The run before it is not over: this one is left out.
        case stillRunning
        /// More schedules than the memory has places.
        case noRoom
    }

    /// Claims a moment of a schedule for this worker.
    /// - Parameters:
    ///   - key: not 0.
    ///   - moment: seconds since 1970.
    ///   - until: monotonic nanoseconds at which the run is over at the latest.
    public func claimSchedule(_ key: UInt64, moment: Int, now: UInt64, until: UInt64, mayOverlap: Bool) -> ScheduleClaim {
        // SAFETY: the mapping lives as long as self.
        switch unsafe sluice_schedule_claim(region, key, UInt64(max(moment, 0)), now, until, mayOverlap ? 1 : 0) {
        case SLUICE_SCHEDULE_RUN.rawValue: .run
        case SLUICE_SCHEDULE_RUNNING.rawValue: .stillRunning
        case SLUICE_SCHEDULE_NO_ROOM.rawValue: .noRoom
        default: .taken
        }
    }

    /// - Parameter until: as it was claimed with.
    public func finishSchedule(_ key: UInt64, until: UInt64) {
        // SAFETY: the mapping lives as long as self.
        unsafe sluice_schedule_finish(region, key, until)
    }
}
