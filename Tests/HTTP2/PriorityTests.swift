import Buffers
import Testing

@testable import HTTP2

/// RFC 9218: the `Priority` field, as the session reads it and as it orders DATA.
@Suite struct PriorityTests {
    @Test(arguments: [
        ("", 3, false), ("u=0", 0, false), ("u=7", 7, false), ("i", 3, true), ("i=?1", 3, true), ("u=5, i", 5, true), ("i , u=2", 2, true),
        ("\tu=1;x=2 ,i;y", 1, true), ("i, i=?0", 3, false), ("u=1, u=6", 6, false), ("u=8", 3, false), ("u=-1", 3, false), ("u=10", 3, false),
        ("u", 3, false), ("u=?1", 3, false), ("i=1", 3, false), ("x=\"u=0, i\", u=4", 4, false), ("x=\"\\\", i\", u=4", 4, false), ("x=\"i, u=0", 3, false),
        (",,u=2,", 2, false), ("U=1, I", 3, false),
    ] as [(String, UInt8, Bool)]) func aFieldSaysUrgencyAndIncrements(text: String, urgency: UInt8, isIncremental: Bool) {
        var priority = Priority()
        priority.read(Array(text.utf8).span)
        #expect(priority == Priority(urgency: urgency, isIncremental: isIncremental), "\(text)")
    }

    /// The order in which streams 1, 3 and 5 end, each with three frames of DATA.
    private func order(_ harness: Harness, _ priorities: [String?]) -> [UInt32] {
        for (index, priority) in priorities.enumerated() {
            harness.send(.get(UInt32(2 * index + 1), priority.map { [("priority", $0)] } ?? []))
        }
        for stream in harness.announced { stream.answer(pattern(20_000)) }
        return harness.frames().filter { $0.type == Frame.Kind.data && $0.ends }.map(\.stream)
    }

    @Test func theMostUrgentStreamEndsFirst() {
        #expect(order(Harness(), ["u=7", "u=5", "u=1"]) == [5, 3, 1])
    }

    @Test func fieldsOfOneNameAreOneDictionary() {
        let harness = Harness()
        harness.send(.get(1), .get(3, [("priority", "i"), ("priority", "u=0")]))
        for stream in harness.announced { stream.answer(pattern(20_000)) }
        #expect(harness.frames().first { $0.type == Frame.Kind.data }?.stream == 3)
    }

    /// Without `i` a stream is sent whole before its equals; with it they take turns.
    @Test func onlyIncrementalStreamsTakeTurns() {
        let whole = Harness(), turns = Harness()
        for (harness, priority) in [(whole, "u=3"), (turns, "u=3, i")] {
            harness.send(.get(1, [("priority", priority)]), .get(3, [("priority", priority)]))
            for stream in harness.announced { stream.answer(pattern(30_000)) }
        }
        #expect(whole.frames().filter { $0.type == Frame.Kind.data }.map(\.stream) == [1, 1, 3, 3])
        #expect(turns.frames().filter { $0.type == Frame.Kind.data }.map(\.stream) == [1, 3, 1, 3])
    }

    /// PRIORITY_UPDATE says it later than the field did (RFC 9218 section 7).
    @Test func anUpdateBeforeTheRequestWinsOverTheField() {
        let harness = Harness()
        harness.send(Frame(type: 0x10, stream: 0, payload: big(3) + Array("u=7".utf8)), .get(1), .get(3, [("priority", "u=0")]))
        for stream in harness.announced { stream.answer(pattern(20_000)) }
        #expect(harness.frames().first { $0.type == Frame.Kind.data }?.stream == 1)
    }
}
