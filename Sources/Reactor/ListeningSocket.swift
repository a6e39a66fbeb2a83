import CLinux

/// Why an address cannot be listened on, with what to do about it.
public struct ListenError: Error, Sendable, CustomStringConvertible {
    /// Name and address, such as "listener public on 0.0.0.0:443".
    public let listener: String
    public let cause: String
    public let remedy: String

    public var description: String { "\(listener): \(cause); \(remedy)" }
}

/// A listening TCP socket.
public enum ListeningSocket {
    /// How many connections the kernel queues for a socket (it caps this at net.core.somaxconn).
    public static let backlog: Int32 = 4096

    /// Opens `count` sockets on one address, one per worker. The kernel spreads connections over them
    /// (`SO_REUSEPORT`), and each keeps its queue when its worker is replaced.
    ///
    /// The kernel would let a second gateway of the same user join the group without a word, so
    /// the address is first tried without sharing.
    /// - Returns: the sockets, and the port when the kernel chose it.
    public static func openGroup(
        _ listener: ConfigurationBundle.Listener, count: Int
    ) throws(ListenError) -> (sockets: [Int32], port: UInt16) {
        let probe = OwnedDescriptor(adopting: try open(listener, port: listener.port, backlog: 0, shared: false))
        let port = UInt16(truncatingIfNeeded: max(sluice_local_port(probe.number), 0))
        _ = consume probe
        var actual = listener
        actual.port = port
        return (try openMore(actual, count: count), port)
    }

    /// Opens further sockets on an address that is ours already.
    /// - Parameter listener: with the real port.
    public static func openMore(_ listener: ConfigurationBundle.Listener, count: Int) throws(ListenError) -> [Int32] {
        var sockets: [Int32] = []
        do throws(ListenError) {
            for _ in 0..<count { sockets.append(try open(listener, port: listener.port, backlog: backlog, shared: true)) }
        } catch {
            sockets.forEach(close)
            throw error
        }
        return sockets
    }

    /// Where a socket of somebody else's listens; nil when it is no listening TCP socket. It then does not block and does
    /// not reach children.
    public static func endpoint(of socket: Int32) -> (address: String, port: UInt16)? {
        var port: UInt16 = 0
        return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            // SAFETY: C writes a NUL-terminated text of at most 64 bytes and the port, during the call.
            guard let base = buffer.baseAddress, unsafe sluice_listening_endpoint(socket, base, &port) == 0 else { return nil }
            return unsafe (String(cString: base), port)
        }
    }

    /// Opens one socket that shares its address with nobody.
    public static func openSingle(
        _ listener: ConfigurationBundle.Listener
    ) throws(ListenError) -> (socket: Int32, port: UInt16) {
        let socket = try open(listener, port: listener.port, backlog: 128, shared: false)
        let port = UInt16(truncatingIfNeeded: max(sluice_local_port(socket), 0))
        return (socket, port)
    }

    /// Takes a waiting connection, non-blocking; nil when none waits or none can be taken now.
    public static func accept(_ socket: Int32) -> Int32? {
        var peer = sluice_address()
        // SAFETY: a local that outlives the call.
        let result = unsafe sluice_accept(socket, &peer)
        return result >= 0 ? result : nil
    }

    /// Closes a socket that one of the functions above opened.
    public static func close(_ socket: Int32) { _ = sluice_close(socket) }

    private static func open(
        _ listener: ConfigurationBundle.Listener, port: UInt16, backlog: Int32, shared: Bool
    ) throws(ListenError) -> Int32 {
        var step: Int32 = 0
        // SAFETY: the string is NUL-terminated and `step` outlives the call.
        let result = unsafe sluice_listen_tcp(listener.address, port, backlog, shared ? 1 : 0, &step)
        if result < 0 { throw ListenError(listener, code: -result, step: step) }
        return result
    }
}

extension ListenError {
    public init(_ listener: ConfigurationBundle.Listener, code: Int32, step: Int32) {
        self.listener = "listener \(listener.name) on \(listener.endpoint)"
        let reason = SystemError(call: "", code: code).reason.lowercased()
        switch (code, step) {
        case (_, Int32(SLUICE_LISTEN_PARSE.rawValue)):
            cause = "\"\(listener.address)\" is not a numeric IPv4 or IPv6 address"
            remedy = "write it like 127.0.0.1:8080, 0.0.0.0:80 or [::1]:8080"
        case (98, _):  // EADDRINUSE
            cause = "the address is already in use"
            remedy = "stop the program that uses it (ss -ltnp 'sport = :\(listener.port)' shows it) or choose another port"
        case (13, _), (1, _):  // EACCES, EPERM
            cause = "not permitted (\(reason))"
            remedy = "ports below 1024 need root or the CAP_NET_BIND_SERVICE capability; or choose a port from 1024 up"
        case (99, _):  // EADDRNOTAVAIL
            cause = "this machine does not have that address"
            remedy = "use an address that \"ip address\" lists, or 0.0.0.0 or [::] for all"
        case (97, _):  // EAFNOSUPPORT
            cause = "this machine has no IPv6"
            remedy = "use an IPv4 address"
        case (24, _), (23, _):  // EMFILE, ENFILE
            cause = "no descriptor is left (\(reason))"
            remedy = "raise the limit of open files (ulimit -n) or use fewer workers"
        default:
            cause = "cannot listen (\(reason))"
            remedy = "check the address and the system's limits"
        }
    }
}
