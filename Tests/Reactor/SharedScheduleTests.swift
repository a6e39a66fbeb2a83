import Reactor
import Testing

@Suite struct SharedScheduleTests {
    @Test func `one worker gets each moment, whoever asks first`() throws {
        let region = try SharedRegion.create()
        let other = try SharedRegion(adopting: region.descriptor.duplicate())
        #expect(region.claimSchedule(7, moment: 60, now: 1, until: 100, mayOverlap: false) == .run)
        #expect(other.claimSchedule(7, moment: 60, now: 1, until: 100, mayOverlap: false) == .taken)
        #expect(other.claimSchedule(8, moment: 60, now: 1, until: 100, mayOverlap: false) == .run, "another schedule")
        region.finishSchedule(7, until: 100)
        #expect(other.claimSchedule(7, moment: 120, now: 2, until: 200, mayOverlap: false) == .run)
        #expect(region.claimSchedule(7, moment: 60, now: 2, until: 200, mayOverlap: false) == .taken, "a moment of the past")
    }

    @Test func `a run that goes on holds the next one back, unless they may overlap or its time is up`() throws {
        let region = try SharedRegion.create()
        #expect(region.claimSchedule(7, moment: 60, now: 10, until: 100, mayOverlap: false) == .run)
        #expect(region.claimSchedule(7, moment: 120, now: 50, until: 150, mayOverlap: false) == .stillRunning)
        #expect(region.claimSchedule(7, moment: 180, now: 60, until: 160, mayOverlap: true) == .run)
        region.finishSchedule(7, until: 100)
        #expect(region.claimSchedule(7, moment: 240, now: 70, until: 170, mayOverlap: false) == .stillRunning, "the older run's end is not the younger's")
        #expect(region.claimSchedule(7, moment: 300, now: 161, until: 261, mayOverlap: false) == .run, "whoever died in it blocks nobody for ever")
    }

    @Test func `more schedules than there is room for are told`() throws {
        let region = try SharedRegion.create()
        for key in 1...256 { #expect(region.claimSchedule(UInt64(key), moment: 60, now: 1, until: 2, mayOverlap: false) == .run) }
        #expect(region.claimSchedule(1_000, moment: 60, now: 1, until: 2, mayOverlap: false) == .noRoom)
    }
}
