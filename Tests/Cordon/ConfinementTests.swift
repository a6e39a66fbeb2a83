import Foundation
import Reactor
import Testing

/// Not under a sanitizer (`scripts/test --sanitize`), which needs what the confinement forbids: threads, files, endless memory.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["SLUICE_SANITIZER"] == nil, "a sanitizer needs what is forbidden here"))
struct ConfinementTests {
    @Test(arguments: [
        "read a file", "write a file", "list a folder", "make a socket", "make a local socket", "run a program",
        "signal the parent", "make a thread", "lift a limit", "take very much memory",
    ])
    func aConfinedProcessCannot(_ attempt: String) throws {
        #expect(try end(of: attempt) != .exited(7), "\(attempt) worked")
        #expect(try end(of: attempt) != .exited(9), "the process could not be confined")
    }

    @Test func whatTheProbeSaysMeansSomething() throws {
        #expect(try end(of: "nothing") == .exited(7))
    }

    private func end(of attempt: String) throws -> ProcessEnd? {
        let here = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let probe = URL(fileURLWithPath: here).deletingLastPathComponent().appendingPathComponent("CordonProbe").path
        let environment = ProcessSetup.environment() + ["SWIFT_BACKTRACE=enable=no"]
        let child = try ChildProcess.spawn(.init(executable: probe, arguments: ["CordonProbe", attempt], environment: environment))
        var poll = pollfd(fd: child.pidDescriptor.number, events: Int16(POLLIN), revents: 0)
        // SAFETY: one entry, which lives during the call.
        _ = unsafe Glibc.poll(&poll, 1, 30_000)
        return child.reap()
    }
}
