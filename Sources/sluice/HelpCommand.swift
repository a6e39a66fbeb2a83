import ArgumentParser
import Rules

/// `sluice help`, `sluice help check` and `sluice help E007`.
struct HelpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "help", abstract: "Explain a command, or a code that a diagnostic carries.")

    @Argument(help: "A command, or a code such as E007.")
    var topic: String?

    func run() throws {
        guard let topic else { return print(Sluice.helpMessage()) }
        if let code = DiagnosticCode(typed: topic) { return print(code.help, terminator: "") }
        let commands = Sluice.configuration.subcommands
        if let command = commands.first(where: { $0._commandName == topic }) { return print(Sluice.helpMessage(for: command)) }
        throw ValidationError(Self.unknown(topic, commands.filter { $0.configuration.shouldDisplay }.map { $0._commandName }))
    }

    static func unknown(_ topic: String, _ commands: [String]) -> String {
        guard DiagnosticCode.looksLikeCode(topic) else {
            return "there is no command `\(topic)`; there are: \(commands.joined(separator: ", "))"
        }
        let near = DiagnosticCode.near(topic)
        guard !near.isEmpty else {
            let letters = Set(DiagnosticCode.allCases.compactMap(\.rawValue.first)).sorted().map { "\($0)" }.joined(separator: ", ")
            return "there is no code `\(topic)`; codes begin with \(letters)"
        }
        return "there is no code `\(topic)`; did you mean \(near.prefix(8).map { "`\($0.rawValue)`" }.joined(separator: ", "))?"
    }
}
