import CLinux

/// Listening sockets that a service manager opened and handed to this process (sd_listen_fds(3)).
public enum ActivatedSockets {
    /// An open listening socket, with the name that its unit gives it (`FileDescriptorName=`).
    public struct Socket: Sendable, Equatable {
        public let name: String
        public let address: String
        public let port: UInt16
        /// Belongs to whoever asked.
        public let descriptor: Int32

        public init(name: String, address: String, port: UInt16, descriptor: Int32) {
            self.name = name
            self.address = address
            self.port = port
            self.descriptor = descriptor
        }
    }

    /// The first number the service manager uses.
    private static let first: Int32 = 3
    /// More would be a mistake in the environment.
    private static let limit = 256
    /// Set for this process; they must not reach its children.
    public static let variables = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]

    /// The sockets that were handed to this process. Call it once, before anything else opens descriptors.
    /// - Returns: also what was handed over and cannot be used, a line each.
    public static func take() -> (sockets: [Socket], complaints: [String]) {
        let numbers = numbers(
            pid: ProcessSetup.environment("LISTEN_PID"), count: ProcessSetup.environment("LISTEN_FDS"),
            names: ProcessSetup.environment("LISTEN_FDNAMES"), ourPID: ProcessSetup.pid)
        var sockets: [Socket] = []
        var complaints: [String] = []
        for (number, name) in numbers {
            if let endpoint = ListeningSocket.endpoint(of: number) {
                sockets.append(Socket(name: name, address: endpoint.address, port: endpoint.port, descriptor: number))
            } else {
                complaints.append("descriptor \(number) (\(name)) of the service manager is no listening TCP socket and is not used")
            }
        }
        return (sockets, complaints)
    }

    /// Numbers and names, from the variables' values.
    static func numbers(pid: String?, count: String?, names: String?, ourPID: Int32) -> [(number: Int32, name: String)] {
        guard let pid, Int32(pid) == ourPID, let count = count.flatMap({ Int($0) }), count > 0, count <= limit else { return [] }
        let names = (names ?? "").split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        return (0..<count).map { (first + Int32($0), $0 < names.count && !names[$0].isEmpty ? names[$0] : "unknown") }
    }
}
