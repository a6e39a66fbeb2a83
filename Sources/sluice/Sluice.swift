import ArgumentParser

@main
struct Sluice: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice", abstract: "A reverse-proxy gateway with JavaScript hooks at the edge.")
}
