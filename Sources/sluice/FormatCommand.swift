import ArgumentParser
import Foundation
import Rules

struct FormatCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fmt",
        abstract: "Bring rule files into one form; comments and meaning stay.",
        discussion: """
            Two spaces a level, no trailing blanks, at most one empty line. Files are rewritten in place; "-" reads the \
            standard input and writes the standard output. Exit status 1 when a file cannot be read as YAML or, with \
            --check, when one would change.
            """)

    @Argument(help: "Rule files, or - for the standard input.")
    var files: [String]

    @Flag(help: "Change nothing; name the files that would change.")
    var check = false

    func run() throws {
        var isGood = true
        for file in files where !format(file) { isGood = false }
        if !isGood { throw ExitCode(1) }
    }

    private func format(_ file: String) -> Bool {
        let data = file == "-" ? FileHandle.standardInput.readDataToEndOfFile() : FileManager.default.contents(atPath: file)
        guard let data else {
            StandardError.print("sluice: \(file): cannot be read")
            return false
        }
        guard let text = RuleFormatter.format(Array(data)) else {
            StandardError.print("sluice: \(file): not YAML that can be formatted; \"sluice check\" says why")
            return false
        }
        let changes = Data(text.utf8) != data
        if check {
            if changes { print(file) }
            return !changes
        }
        if file == "-" {
            FileHandle.standardOutput.write(Data(text.utf8))
        } else if changes {
            do {
                try Data(text.utf8).write(to: URL(fileURLWithPath: file), options: .atomic)
            } catch {
                StandardError.print("sluice: \(file): \(error.localizedDescription)")
                return false
            }
        }
        return true
    }
}
