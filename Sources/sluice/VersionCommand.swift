import ArgumentParser

enum Version {
    static let text = "0.1.0"
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

    @Flag(help: "Print a JSON object.")
    var json = false

    func run() {
        guard json else { return print("sluice \(Version.text)") }
        print("{\"name\":\"sluice\",\"version\":\"\(Version.text)\"}")
    }
}
