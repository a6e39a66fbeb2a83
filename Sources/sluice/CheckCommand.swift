import ArgumentParser
import Rules
import Supervisor

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Say whether a configuration can be served, and if not, all that is wrong with it.",
        discussion: "Exit status 0 when it can be served (warnings are shown), 1 when not.")

    enum Format: String, CaseIterable, ExpressibleByArgument { case text, json }

    @Argument(help: "The rule file.")
    var file: String

    @Option(help: ArgumentHelp("How the findings look.", valueName: "text|json"))
    var format = Format.text

    func run() throws {
        let checked = ConfigurationFile.check(file)
        switch format {
        case .json: print(checked.json)
        case .text:
            if !checked.text.isEmpty { checked.isGood ? print(checked.text) : StandardError.print(checked.text) }
            if checked.isGood { print("\(file) is good: \(checked.summary)") }
        }
        if !checked.isGood { throw ExitCode(1) }
    }
}
