public import ArgumentParser
import Foundation
public import Rehearsal

struct TestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test",
        abstract: "Run the tests of rule files, with the gateway's own rules and hooks, without sockets.",
        discussion: """
            FILES are rule files with "tests:", or test files that name their rule file by "config:". Origins are \
            played by the tests, time passes on the tests' own clock. Exit status 0 when every test passed, 1 when not.
            """)

    @Argument(help: "Rule files or test files.")
    var files: [String]

    @Option(help: ArgumentHelp("How the outcome looks.", valueName: "text|json|junit|tap"))
    var format = TestReport.Format.text

    @Option(help: ArgumentHelp("Run only tests whose name contains this.", valueName: "text"))
    var filter: String?

    @Flag(help: "List the rules that no test matched.")
    var coverage = false

    @Option(help: ArgumentHelp("Fail when less of the rules was matched.", valueName: "percent"))
    var coverageMinimum: Int?

    @Option(help: ArgumentHelp("Write the outcome to this file instead of the standard output.", valueName: "file"))
    var output: String?

    @Flag(help: "Run again whenever a file changes, until Ctrl-C.")
    var watch = false

    func validate() throws {
        if let coverageMinimum, !(0...100).contains(coverageMinimum) {
            throw ValidationError("--coverage-minimum must be from 0 to 100, not \(coverageMinimum).")
        }
    }

    func run() throws {
        guard watch else {
            if try !once() { throw ExitCode(1) }
            return
        }
        let watched = WatchedFiles(files)
        while true {
            // Looked at before the run: what changes meanwhile is run too.
            let before = watched.state()
            _ = try once()
            watched.wait(while: before)
        }
    }

    private func once() throws -> Bool {
        let runs = files.map { TestRun.run($0, filter: filter) }
        let text = TestReport.text(runs, as: format, coverage: coverage)
        if let output {
            try Data(text.utf8).write(to: URL(fileURLWithPath: output))
        } else {
            // Not `print`: whoever watches through a pipe sees each run as it ends.
            FileHandle.standardOutput.write(Data(text.utf8))
        }
        if let filter, runs.allSatisfy({ $0.outcomes.isEmpty && $0.problem == nil }) {
            StandardError.print("sluice: no test has \"\(filter)\" in its name")
            return false
        }
        return runs.allSatisfy { $0.failed == 0 } && isCovered(runs)
    }

    private func isCovered(_ runs: [TestRun]) -> Bool {
        guard let coverageMinimum else { return true }
        let all = runs.reduce(0) { $0 + $1.rules.count }
        let matched = all - runs.reduce(0) { $0 + $1.unmatched.count }
        guard all > 0, matched * 100 < all * coverageMinimum else { return true }
        StandardError.print("sluice: \(matched) of \(all) rules were matched, less than \(coverageMinimum)%")
        return false
    }
}

extension TestReport.Format: ExpressibleByArgument {}

/// The folders of some files, looked at again and again: a change is anything in them that is newer, gone or new.
struct WatchedFiles {
    private let folders: Set<String>
    /// Looking costs a few system calls a file; people do not notice a third of a second.
    private static let interval = 0.3

    init(_ files: [String]) {
        folders = Set(files.map { URL(fileURLWithPath: $0).deletingLastPathComponent().path })
    }

    func wait(while before: [String: Date]) {
        while state() == before { Thread.sleep(forTimeInterval: WatchedFiles.interval) }
    }

    func state() -> [String: Date] {
        var state: [String: Date] = [:]
        for folder in folders {
            let found = FileManager.default.enumerator(
                at: URL(fileURLWithPath: folder), includingPropertiesForKeys: [.contentModificationDateKey], options: .skipsHiddenFiles)
            for case let file as URL in found ?? .init() where state.count < 10_000 {
                state[file.path] = try? file.resourceValues(forKeys: [.contentModificationDateKey]).contentModificationDate
            }
        }
        return state
    }
}
