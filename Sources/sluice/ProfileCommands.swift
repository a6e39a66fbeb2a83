import ArgumentParser
import Foundation
import Supervisor

struct ProfileCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "profile",
        abstract: "Sample what a function of a running gateway does.",
        discussion: """
            Writes a .cpuprofile, which Chrome's DevTools (Performance panel) and editors open. The function goes on serving;             sampling costs it some percent meanwhile.
            """)

    @OptionGroup var gateway: GatewayOptions
    @OptionGroup var look: LookOptions

    @Option(help: "How long, 1 to 50.")
    var seconds: UInt64 = 10

    func validate() throws {
        guard (1...50).contains(seconds) else { throw ValidationError("--seconds must be from 1 to 50, not \(seconds).") }
    }

    func run() throws { try look.write(gateway.ask("POST", look.target("profile") + "&seconds=\(seconds)"), "cpuprofile") }
}

struct HeapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "heap",
        abstract: "Write what is on the heap of a function of a running gateway.",
        discussion: """
            A .heapsnapshot, which Chrome's DevTools (Memory panel) open. All requests of the worker wait while it is taken: some tens of \
            milliseconds for a small heap, a second and more for the largest that is written (24 MiB). It holds everything the function \
            holds, secrets too: keep it accordingly.
            """)

    @OptionGroup var gateway: GatewayOptions
    @OptionGroup var look: LookOptions

    func run() throws { try look.write(gateway.ask("POST", look.target("heap")), "heapsnapshot") }
}

struct LookOptions: ParsableArguments {
    @Option(help: "The function.")
    var function: String

    @Option(help: "The worker that is asked.")
    var worker = 0

    @Option(name: [.short, .long], help: ArgumentHelp("Where it is written; - for the standard output. (default: FUNCTION and the usual ending)", valueName: "file"))
    var output: String?

    func target(_ what: String) -> String {
        let name = function.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? function
        return "/v1/\(what)?function=\(name)&worker=\(worker)"
    }

    func write(_ answer: AdminClient.Answer, _ ending: String) throws {
        if output == "-" { return print(answer.body) }
        let path = output ?? "\(function).\(ending)"
        // What it holds is nobody else's business.
        guard FileManager.default.createFile(atPath: path, contents: Data(answer.body.utf8), attributes: [.posixPermissions: 0o600]) else {
            StandardError.print("sluice: error: \(path) cannot be written")
            throw ExitCode(1)
        }
        print("\(path): \(answer.body.utf8.count) bytes; open it in Chrome's DevTools")
    }
}
