import Isolates
import Testing

/// What V8 makes impossible to survive ends the process with a code that says so. Each test is a process of its own.
@Suite struct ProcessEndTests {
    @Test(arguments: [
        "const a = []; a.length = 2 ** 32 - 1; a.indexOf(1);",
        "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);",
    ])
    func aBuiltInThatIgnoresTerminationEndsTheProcess(body: String) async {
        let ended = await #expect(
            processExitsWith: .exitCode(V8Engine.unstoppableExitCode), observing: [\.standardErrorContent]
        ) { [body] in
            var options = V8Engine.Options()
            options.killAfterMilliseconds = 100
            V8Engine.start(options)
            _ = try Rig().run(body, cpuMilliseconds: 10)
        }
        #expect(text(ended).contains("JavaScript did not stop when told to in the function 'test'"))
    }

    @Test func oneAllocationBeyondEveryLimitEndsTheProcess() async {
        let ended = await #expect(
            processExitsWith: .exitCode(V8Engine.fatalExitCode), observing: [\.standardErrorContent]
        ) {
            var limits = IsolateLimits()
            limits.heapBytes = 16 << 20
            limits.heapHeadroomBytes = 16 << 20
            _ = try Rig(limits: limits).run("new Array(2 ** 25 - 1).fill(1.5);")
        }
        #expect(text(ended).contains("JavaScript ran out of heap in the function 'test'"))
    }

    private func text(_ result: ExitTest.Result?) -> String {
        String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    }
}
