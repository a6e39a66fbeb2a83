import ArgumentParser
import Rules
import Supervisor

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Say whether a configuration can be served, and if not, all that is wrong with it.",
        discussion: """
            Exit status 0 when it can be served (warnings are shown), 1 when not. `sluice help CODE` explains a code. \
            SARIF (2.1.0) is what code hosts and CI systems show beside the changed lines.
            """)

    @Argument(help: "The rule file.")
    var file: String

    @Option(help: ArgumentHelp("How the findings look.", valueName: "text|json|sarif"))
    var format = FindingsFormat.text

    func run() throws {
        let checked = ConfigurationFile.check(file)
        let text = format.write(checked.diagnostics)
        switch format {
        case .json, .sarif: print(text)
        case .text:
            if !text.isEmpty { checked.isGood ? print(text) : StandardError.print(text) }
            if checked.isGood { print("\(file) is good: \(checked.summary)") }
        }
        if !checked.isGood { throw ExitCode(1) }
    }
}
