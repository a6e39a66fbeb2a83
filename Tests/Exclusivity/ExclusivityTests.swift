import CExclusivity
import Testing

/// The checks that a release build makes instead of the runtime's: same answers.
@Suite struct ExclusivityTests {
    private static let modify = UInt(SLUICE_ACCESS_MODIFY | SLUICE_ACCESS_TRACKED)
    private static let read = UInt(SLUICE_ACCESS_TRACKED)
    private static let untrackedRead: UInt = 0
    private static let untrackedModify = UInt(SLUICE_ACCESS_MODIFY)

    /// Begins and ends accesses by a script: `(property, flags)` begins, `.end(n)` ends the n-th that began.
    private enum Step {
        case begin(Int, UInt)
        case end(Int)
    }

    private static func run(_ steps: [Step]) {
        // SAFETY: accesses live until the function returns, and every script ends what it began or ends the process.
        let places = UnsafeMutablePointer<Int>.allocate(capacity: 8)
        let accesses = UnsafeMutablePointer<sluice_access>.allocate(capacity: steps.count)
        var begun = 0
        for step in steps {
            switch step {
            case .begin(let place, let flags):
                unsafe __wrap_swift_beginAccess(places + place, accesses + begun, flags, nil)
                begun += 1
            case .end(let number):
                unsafe __wrap_swift_endAccess(accesses + number)
            }
        }
        unsafe accesses.deallocate()
        unsafe places.deallocate()
    }

    @Test func accessesThatDoNotConflictPass() {
        Self.run([.begin(0, Self.modify), .begin(1, Self.modify), .end(1), .end(0)])
        Self.run([.begin(0, Self.read), .begin(0, Self.read), .begin(0, Self.untrackedRead), .end(1), .end(0)])
        Self.run([.begin(0, Self.modify), .end(0), .begin(0, Self.modify), .end(1)])
        Self.run([.begin(0, Self.untrackedModify), .begin(0, Self.modify), .end(1)])
    }

    @Test func accessesMayEndInAnyOrder() {
        Self.run([.begin(0, Self.modify), .begin(1, Self.read), .begin(2, Self.modify), .end(0), .begin(0, Self.modify), .end(1), .end(2), .end(3)])
        Self.run([.begin(0, Self.modify), .begin(1, Self.modify), .begin(2, Self.modify), .end(1), .begin(1, Self.modify), .end(2), .end(3), .end(0)])
    }

    @Test func anUntrackedAccessNeedsNoEnd() {
        Self.run([.begin(0, Self.untrackedModify), .end(0), .begin(0, Self.modify), .end(1)])
    }

    @Test func twoModificationsEndTheProcess() async {
        let ended = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            ExclusivityTests.run([.begin(0, ExclusivityTests.modify), .begin(0, ExclusivityTests.modify)])
        }
        #expect(text(ended).contains("Simultaneous accesses to 0x"))
    }

    @Test func aReadInAModificationEndsTheProcess() async {
        let ended = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            ExclusivityTests.run([.begin(0, ExclusivityTests.modify), .begin(1, ExclusivityTests.read), .begin(0, ExclusivityTests.untrackedRead)])
        }
        #expect(text(ended).contains("Simultaneous accesses to 0x"))
    }

    @Test func aModificationInAReadEndsTheProcess() async {
        let ended = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            ExclusivityTests.run([.begin(0, ExclusivityTests.read), .begin(0, ExclusivityTests.untrackedModify)])
        }
        #expect(text(ended).contains("Simultaneous accesses to 0x"))
    }

    @Test func aConflictIsFoundBehindAnAccessThatEndedOutOfOrder() async {
        let ended = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            ExclusivityTests.run([
                .begin(0, ExclusivityTests.modify), .begin(1, ExclusivityTests.modify), .begin(2, ExclusivityTests.modify), .end(1),
                .begin(0, ExclusivityTests.read),
            ])
        }
        #expect(text(ended).contains("Simultaneous accesses to 0x"))
    }

    @Test func endingWhatIsNotOpenEndsTheProcess() async {
        let ended = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            ExclusivityTests.run([.begin(0, ExclusivityTests.modify), .begin(1, ExclusivityTests.modify), .end(0), .end(0)])
        }
        #expect(text(ended).contains("An access that is not open was ended."))
    }

    private func text(_ result: ExitTest.Result?) -> String {
        String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    }
}
