import ArgumentParser
import Foundation
import Origin

struct OriginCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "origin",
        abstract: "Run the embedded demo origin: echo, fixed sizes, slow, chunked, trailers, errors, WebSocket echo.",
        discussion: "GET / tells what it answers. It is for trying and testing, on loopback; SIGTERM and Ctrl-C end it.")

    @Option(name: [.short, .long], help: "The port to listen on; 0 takes a free one and prints it.")
    var port: UInt16 = 9000

    @Option(name: [.long, .customLong("host")], help: ArgumentHelp("The numeric address to listen on.", valueName: "address"))
    var address = "127.0.0.1"

    @Flag(help: "Print where it listens as a JSON object.")
    var json = false

    func run() throws {
        let server: OriginServer
        do {
            server = try OriginServer(address: address, port: port)
        } catch {
            StandardError.print("sluice: error: \(error)")
            throw ExitCode(1)
        }
        announce(server.port)
        try server.run()
    }

    /// The first line of the output, at once: whoever started the origin waits for it.
    private func announce(_ port: UInt16) {
        let url = "http://\(address.contains(":") ? "[\(address)]" : address):\(port)/"
        let line = json
            ? "{\"url\":\"\(url)\",\"address\":\"\(address)\",\"port\":\(port)}" : "the demo origin listens on \(url)"
        FileHandle.standardOutput.write(Data((line + "\n").utf8))
    }
}
