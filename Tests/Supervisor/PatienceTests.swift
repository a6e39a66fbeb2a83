@testable import Supervisor
import Foundation
import Reactor
import Testing

@Suite struct PatienceTests {
    private let second: UInt64 = 1_000_000_000

    @Test func aLoopThatHadAProcessorAndDidNotTurnStandsStill() {
        let found = Stillness(beat: 5, since: 100 * second, processorTime: 7 * second)
        #expect(!found.isProved(101 * second, 7 * second, stall: 30 * second))
        #expect(!found.isProved(101 * second, 8 * second - 1, stall: 30 * second))
        #expect(found.isProved(101 * second, 8 * second, stall: 30 * second))
    }

    @Test func aLoopThatWaitsForSomethingElseStandsStillAfterAThirdOfTheTime() {
        for known in [7 * second, nil] {
            let found = Stillness(beat: 5, since: 100 * second, processorTime: known)
            #expect(!found.isProved(110 * second, known, stall: 30 * second))
            #expect(found.isProved(110 * second + 1, known, stall: 30 * second))
        }
    }

    @Test func aStartThatGetsNoProcessorHasFourTimesAsLong() {
        #expect(!StartPatience.isOver(after: StartPatience.limit) { 100 * second })
        #expect(!StartPatience.isOver(after: StartPatience.limit + 1) { StartPatience.work - 1 })
        #expect(StartPatience.isOver(after: StartPatience.limit + 1) { StartPatience.work })
        #expect(StartPatience.isOver(after: StartPatience.limit + 1) { nil })
        #expect(StartPatience.isOver(after: StartPatience.longest + 1) { 0 })
    }
}

/// What a slow machine shows, with real processes.
@Suite(.serialized) struct SlowMachineTests {
    @Test func aPauseOfTheWholeMachineCostsNoWorker() throws {
        let gateway = try Gateway(Gateway.plain, workers: 1)
        let port = try #require(gateway.knownPorts["public"])
        let before = try #require(try Client(port).ask("who")).split(separator: " ")
        let worker = try #require(Int32(before[2]))
        // The probe's loop may stand still for a second.
        kill(gateway.pid, SIGSTOP)
        kill(worker, SIGSTOP)
        gateway.listen(for: 1.5)
        kill(gateway.pid, SIGCONT)
        gateway.listen(for: 0.1)
        kill(worker, SIGCONT)
        let after = try #require(try Client(port).ask("who")).split(separator: " ")
        #expect(after[2] == before[2], "the worker lives")
        gateway.signal(.hangup)
        try gateway.wait("reload", "is in use (1 workers")
        #expect(!gateway.events.contains { ($0["message"] as? String ?? "").contains("died") })
    }

    @Test func aWorkerThatServesMayBeLateWithItsAnswerToAReload() throws {
        let gateway = try Gateway(Gateway.plain, workers: 1)
        let port = try #require(gateway.knownPorts["public"])
        let before = try #require(try Client(port).ask("who")).split(separator: " ")
        // Longer than the supervisor waits for one that does not turn.
        try gateway.configure(Gateway.plain + "late 11000\n")
        gateway.signal(.hangup)
        try gateway.wait("reload", "generation 2 is in use (1 workers")
        let after = try #require(try Client(port).ask("who")).split(separator: " ")
        #expect(after[0] == "2" && after[2] == before[2], "the same worker has it")
    }

    @Test func aReloadThatIsAskedForWhileItStartsFollowsTheStart() throws {
        let gate = NSTemporaryDirectory() + "sluice-gate-" + UUID().uuidString
        // SAFETY: mkfifo reads the path that the string lends it.
        #expect(unsafe mkfifo(gate, 0o600) == 0)
        defer { try? FileManager.default.removeItem(atPath: gate) }
        let gateway = try Gateway(Gateway.plain + "gate \(gate)\n", workers: 1)
        // Opens when the worker stands before it: the supervisor hears signals then.
        let opened = try #require(FileHandle(forWritingAtPath: gate))
        try gateway.configure(Gateway.plain)
        gateway.signal(.hangup)
        try gateway.wait("reload", "it follows the start")
        try opened.close()
        let port = try #require(gateway.knownPorts["public"])
        try gateway.wait("reload", "generation 2 is in use")
        #expect(try Client(port).ask("who")?.hasPrefix("2 ") == true)
    }
}
