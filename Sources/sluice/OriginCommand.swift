import ArgumentParser
import Origin

struct OriginCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "origin",
        abstract: "Run the embedded demo origin: echo, fixed sizes, slow, chunked, trailers, errors, WebSocket echo.",
        discussion: "GET / tells what it answers. It is for trying and testing, on loopback; SIGTERM and Ctrl-C end it.")

    @Option(name: [.short, .long], help: "The port to listen on; 0 takes a free one and prints it.")
    var port: UInt16 = 9000

    @Option(help: ArgumentHelp("The numeric address to listen on.", valueName: "address"))
    var address = "127.0.0.1"

    func run() throws {
        let server: OriginServer
        do {
            server = try OriginServer(address: address, port: port)
        } catch {
            StandardError.print("sluice: error: \(error)")
            throw ExitCode(1)
        }
        StandardError.print("the demo origin listens on http://\(address.contains(":") ? "[\(address)]" : address):\(server.port)/")
        try server.run()
    }
}
