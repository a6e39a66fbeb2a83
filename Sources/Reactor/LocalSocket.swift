import CLinux

/// Stream sockets with a path: how commands on this machine speak to a running gateway.
public enum LocalSocket {
    /// Longest path, a limit of the kernel's address structure.
    public static let pathLimit = 107

    /// Listens on `path`, which only this user may connect to. A socket file that nobody listens on is taken over.
    /// - Throws: EADDRINUSE when another process listens there.
    /// - Returns: a non-blocking socket; the caller closes it.
    public static func listen(_ path: String) throws(SystemError) -> Int32 {
        // SAFETY: the string is NUL-terminated for the call.
        try check(unsafe sluice_listen_local(path, 16), "bind", path)
    }

    /// - Throws: ENOENT or ECONNREFUSED when nobody listens.
    /// - Returns: a non-blocking socket; the caller closes it.
    public static func connect(_ path: String) throws(SystemError) -> Int32 {
        // SAFETY: the string is NUL-terminated for the call.
        try check(unsafe sluice_connect_local(path), "connect", path)
    }

    /// User and process at the other end of a connected socket.
    public static func peer(_ socket: Int32) throws(SystemError) -> (user: UInt32, process: Int32) {
        var user: uid_t = 0
        var process: pid_t = 0
        // SAFETY: two locals that outlive the call.
        try check(unsafe sluice_local_peer(socket, &user, &process), "getsockopt", "local socket")
        return (user, process)
    }
}

/// Where sockets of this user's gateways are.
public enum RuntimeFolder {
    /// `$RUNTIME_DIRECTORY` (a service manager's), `/run/sluice` for root, `$XDG_RUNTIME_DIR/sluice`, or `/tmp/sluice-UID`.
    public static var path: String {
        if let given = ProcessSetup.environment("RUNTIME_DIRECTORY"), let first = given.split(separator: ":").first {
            return String(first)
        }
        if sluice_user() == 0 { return "/run/sluice" }
        if let session = ProcessSetup.environment("XDG_RUNTIME_DIR"), !session.isEmpty { return "\(session)/sluice" }
        return "/tmp/sluice-\(sluice_user())"
    }

    /// Makes the folder. One that others could write into is refused.
    public static func make(_ path: String) throws(SystemError) {
        // SAFETY: the string is NUL-terminated for the call.
        try check(unsafe sluice_private_folder(path), "mkdir", path)
    }

    /// Names of the entries, sorted; empty when the folder is not there.
    public static func entries(_ path: String) -> [String] {
        var bytes = [UInt8](repeating: 0, count: 64 * 1024)
        var written = 0
        unsafe bytes.withUnsafeMutableBytes { buffer in
            // SAFETY: C writes at most the room it is given and says how much; the path is NUL-terminated for the call.
            written = unsafe sluice_folder_entries(path, buffer.baseAddress?.assumingMemoryBound(to: CChar.self), buffer.count)
        }
        return bytes.prefix(max(written, 0)).split(separator: 0).map { String(decoding: $0, as: UTF8.self) }.filter { $0 != "." && $0 != ".." }.sorted()
    }

    public static func remove(_ path: String) {
        // SAFETY: the string is NUL-terminated for the call.
        _ = unsafe sluice_remove_file(path)
    }

    /// The absolute path without links; as given when there is no such file.
    public static func resolved(_ path: String) -> String {
        // SAFETY: realpath writes at most 4096 bytes with a NUL; the buffer has them.
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4097) { buffer in
            guard let base = buffer.baseAddress, unsafe sluice_resolved_path(path, base) == 0 else { return path }
            return unsafe String(cString: base)
        }
    }

    /// The user this process acts as.
    public static var user: UInt32 { sluice_user() }
}
