import ArgumentParser
import Cordon
import Glibc

/// Started by the supervisor only: hooks in a process of their own.
struct CordonCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cordon", abstract: "Run hooks for a worker.", shouldDisplay: false)

    func run() throws {
        // Not `exit`: V8's threads and C++ destructors have no business in a cordon's last moment.
        _exit(CordonProcess.run())
    }
}
