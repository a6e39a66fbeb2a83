import ArgumentParser
import Buffers
import Foundation
import Gateway

/// `--inspect[=ADDRESS:PORT]`: where DevTools debug functions.
struct InspectOption: ParsableArguments {
    static let defaultEndpoint = "127.0.0.1:9229"

    @Option(help: ArgumentHelp(
        """
        Let Chrome's DevTools debug functions, each in an isolate of its own that only requests with a signed header reach. \
        Plain --inspect is --inspect=127.0.0.1:9229; with several workers each listens on a port of its own, from that one on, and lists the functions of all.
        """, valueName: "address:port"))
    var inspect: InspectEndpoint?

    /// What workers are told. Warns where strangers could debug.
    func settings(ownKey: Bool) -> [String: String] {
        guard let inspect else { return [:] }
        if !inspect.isLoopback {
            StandardError.print(
                "sluice: warning: --inspect=\(inspect.text) is not a loopback address: whoever reaches it and learns an address of a function runs code "
                    + "in that function's isolate. Use an SSH tunnel instead.")
        }
        var settings = ["inspect": inspect.text, "inspect-folder": FileManager.default.currentDirectoryPath, "inspect-seed": secret()]
        if ownKey { settings["inspect-key"] = secret() }
        return settings
    }

    private func secret() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<8).map { _ in String(UInt64.random(in: 0...UInt64.max, using: &generator), radix: 36) }.joined()
    }

    /// An option has a value for the parser; the plain word means the usual one.
    static func spelledOut(_ arguments: [String]) -> [String] {
        guard let command = arguments.first, ["dev", "run"].contains(command) else { return arguments }
        return arguments.map { $0 == "--inspect" ? "--inspect=\(defaultEndpoint)" : $0 }
    }
}

/// "127.0.0.1:9229", "[::1]:9229" or a port.
struct InspectEndpoint: ExpressibleByArgument {
    let address: IPAddress
    let port: UInt16
    /// As `ADDRESS:PORT`, without brackets.
    let text: String

    init?(argument: String) {
        let colon = argument.lastIndex(of: ":")
        let host = colon.map { String(argument[..<$0]) } ?? "127.0.0.1"
        let bare = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
        guard let port = UInt16(colon.map { argument[argument.index(after: $0)...] } ?? argument[...]), host == bare ? !host.contains(":") : true,
            let address = IPAddress(bare == "localhost" ? "127.0.0.1" : bare)
        else { return nil }
        self.address = address
        self.port = port
        text = "\(bare == "localhost" ? "127.0.0.1" : bare):\(port)"
    }

    var isLoopback: Bool { address.isV6 ? address.high == 0 && address.low == 1 : address.low >> 24 == 127 }
}
