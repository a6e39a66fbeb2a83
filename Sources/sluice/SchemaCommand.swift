import ArgumentParser
import Rules

struct SchemaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema",
        abstract: "Print the JSON Schema of rule files and test files, for editors.",
        discussion: """
            Editors with the YAML language server use it when a file begins with \
            "# yaml-language-server: $schema=PATH", PATH being where the output was saved.
            """)

    func run() { print(RuleSchema.json, terminator: "") }
}
