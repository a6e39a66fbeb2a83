import ArgumentParser
import Foundation
import Rehearsal

struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Convert another gateway's configuration.",
        subcommands: [AzionCommand.self])
}

struct AzionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "azion",
        abstract: "Convert azion.config.json: rules engine, firewall rules, origins, functions, network lists.",
        discussion: """
            The rule file goes to the standard output; what could not be converted is listed on the standard error. \
            A configuration in JavaScript becomes JSON by: node -e \
            'import("./azion.config.mjs").then(c => console.log(JSON.stringify(c.default)))'. Exit status 2 with --strict \
            when something was left out.
            """)

    @Argument(help: "The configuration, as JSON.")
    var file: String

    @Option(name: [.short, .long], help: ArgumentHelp("Write the rule file there.", valueName: "file"))
    var output: String?

    @Flag(help: "Fail when something could not be converted.")
    var strict = false

    func run() throws {
        guard let data = FileManager.default.contents(atPath: file) else {
            StandardError.print("sluice: \(file): cannot be read")
            throw ExitCode(1)
        }
        guard let converted = AzionImport(String(decoding: data, as: UTF8.self)) else {
            StandardError.print("sluice: \(file): not a JSON object")
            throw ExitCode(1)
        }
        if let output {
            try Data(converted.yaml.utf8).write(to: URL(fileURLWithPath: output))
        } else {
            print(converted.yaml, terminator: "")
        }
        for omission in converted.omissions { StandardError.print("not converted: \(omission)") }
        if strict, !converted.omissions.isEmpty { throw ExitCode(2) }
    }
}
