import ArgumentParser
import Foundation
import Supervisor

struct UpgradeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upgrade",
        abstract: "Let a new version of the program take a running gateway's place.",
        discussion: """
            Starts the program's file as it is now (a package has replaced it, say) beside the running gateway, with the same \
            arguments. It gets the listening sockets, and serves; only then the old process finishes its requests (drain.upgrade) \
            and ends. No connection is refused. When the new one does not come up, the old one goes on and the exit status is 1.
            """)

    @OptionGroup var gateway: GatewayOptions

    @Option(help: ArgumentHelp("The executable to start, in place of the running one's file.", valueName: "file"))
    var program: String?

    @Option(help: ArgumentHelp("How long it may take until it serves, 1 to 55 s.", valueName: "seconds"))
    var seconds = 45

    @Flag(help: "Print the answer as JSON.")
    var json = false

    func run() throws {
        var target = "/v1/upgrade?seconds=\(seconds)"
        if let program {
            let path = URL(fileURLWithPath: program).standardizedFileURL.path
            target += "&program=" + (path.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? "")
        }
        let answer = try gateway.ask("POST", target, accepting: [200, 422])
        let message = answer.object["message"] as? String ?? answer.body
        if json {
            print(answer.body, terminator: "")
        } else if answer.status == 200 {
            print(message)
        } else {
            StandardError.print("sluice: error: \(message)\nThe running process goes on.")
        }
        if answer.status != 200 { throw ExitCode(1) }
    }
}
