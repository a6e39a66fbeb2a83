import Buffers
import Testing

@testable import Gateway

/// What it knows, where an expectation may ask for it.
private final class Pauses {
    private var pauses = FloodPauses()
    var count: Int { pauses.count }
    func flooded(_ address: IPAddress, _ fingerprint: String, now: UInt64, pause: UInt64) {
        pauses.flooded(address, fingerprint, now: now, pause: pause)
    }
    func suspects(_ address: IPAddress, now: UInt64) -> Bool { pauses.suspects(address, now: now) }
    func wait(_ address: IPAddress, _ fingerprint: String, now: UInt64) -> UInt64 { pauses.wait(address, fingerprint, now: now) }
}

@Suite struct FloodPausesTests {
    private let shared = IPAddress(v4: 0x7f00_0001), elsewhere = IPAddress(v4: 0x7f00_0002)

    @Test func `one flood costs nobody a wait`() {
        let pauses = Pauses()
        pauses.flooded(shared, "a", now: 1_000, pause: 1_000)
        #expect(!pauses.suspects(shared, now: 1_000))
        #expect(pauses.wait(shared, "a", now: 1_000) == 0)
    }

    @Test func `who floods again waits, longer each time, one after the other, up to an end`() {
        let pauses = Pauses()
        pauses.flooded(shared, "a", now: 0, pause: 1_000)
        var waits: [UInt64] = []
        for flood in 1...7 {
            let now = UInt64(flood) * 40_000
            pauses.flooded(shared, "a", now: now, pause: 1_000)
            waits.append(pauses.wait(shared, "a", now: now))
        }
        #expect(waits == [1_000, 2_000, 4_000, 8_000, 16_000, 16_000, 16_000])
        #expect(pauses.wait(shared, "a", now: 280_000) == 16_050)
        #expect(pauses.wait(shared, "a", now: 280_000) == 16_100)
    }

    @Test func `others behind the same address do not wait`() {
        let pauses = Pauses()
        for _ in 0..<5 { pauses.flooded(shared, "a", now: 1_000, pause: 1_000) }
        #expect(pauses.suspects(shared, now: 1_000), "they are looked at")
        #expect(pauses.wait(shared, "b", now: 1_000) == 0)
        #expect(pauses.wait(shared, "", now: 1_000) == 0)
        #expect(pauses.wait(shared, "a", now: 1_000) > 0)
        #expect(!pauses.suspects(elsewhere, now: 1_000))
    }

    @Test func `an address that floods with many fingerprints waits as a whole`() {
        let pauses = Pauses()
        for client in 0..<FloodPauses.fingerprints { pauses.flooded(shared, "\(client)", now: 1_000, pause: 1_000) }
        #expect(!pauses.suspects(shared, now: 1_000), "each has flooded once")
        pauses.flooded(shared, "one more", now: 1_000, pause: 1_000)
        #expect(pauses.suspects(shared, now: 1_000))
        #expect(pauses.wait(shared, "never seen", now: 1_000) == 1_000)
        #expect(pauses.wait(elsewhere, "0", now: 1_000) == 0)
    }

    @Test func `what was long ago is forgotten, and too many addresses are too`() {
        let pauses = Pauses()
        for _ in 0..<3 { pauses.flooded(shared, "a", now: 1_000, pause: 1_000) }
        #expect(pauses.suspects(shared, now: 1_000 + FloodPauses.memory - 1))
        #expect(!pauses.suspects(shared, now: 1_000 + FloodPauses.memory))
        for number in 0..<UInt32(2 * FloodPauses.capacity) { pauses.flooded(IPAddress(v4: number), "a", now: 2_000, pause: 1_000) }
        #expect(pauses.count <= FloodPauses.capacity)
    }

    @Test func `without a pause nothing is noted`() {
        let pauses = Pauses()
        for _ in 0..<3 { pauses.flooded(shared, "a", now: 1_000, pause: 0) }
        #expect(pauses.count == 0)
    }
}
