import CLinux

/// Files that make the next start quicker and may vanish at any time. What is read here was written by this user: a
/// folder or a file that others could have written to is not touched.
public enum CacheFolder {
    /// `$CACHE_DIRECTORY` (a service manager's), `/var/cache/sluice` for root, `$XDG_CACHE_HOME/sluice`, `~/.cache/sluice`; nil
    /// when there is no place.
    public static var path: String? {
        if let given = ProcessSetup.environment("CACHE_DIRECTORY"), let first = given.split(separator: ":").first { return String(first) }
        if RuntimeFolder.user == 0 { return "/var/cache/sluice" }
        if let home = ProcessSetup.environment("XDG_CACHE_HOME"), home.hasPrefix("/") { return "\(home)/sluice" }
        if let home = ProcessSetup.environment("HOME"), home.hasPrefix("/") { return "\(home)/.cache/sluice" }
        return nil
    }

    /// - Throws: EPERM when others can write to the folder or the file, EFBIG beyond `limit` bytes.
    public static func read(_ name: String, in folder: String, limit: Int) throws(SystemError) -> [UInt8] {
        var bytes: UnsafeMutablePointer<UInt8>?
        var count = 0
        // SAFETY: the strings are NUL-terminated for the call; `bytes` is ours afterwards, `count` long, and freed here.
        try check(unsafe sluice_read_private(folder, name, limit, &bytes, &count), "open", "\(folder)/\(name)")
        defer { unsafe sluice_free_bytes(bytes) }
        return unsafe Array(UnsafeBufferPointer(start: bytes, count: count))
    }

    /// Puts a file in place in one step, and removes those of an older kind: other files whose names begin with `family`.
    public static func write(_ name: String, _ bytes: [UInt8], in folder: String, replacing family: String) throws(SystemError) {
        try RuntimeFolder.make(folder)
        let result = unsafe bytes.withUnsafeBufferPointer { buffer in
            // SAFETY: C reads `count` bytes of the buffer during the call; the strings are NUL-terminated for it.
            unsafe sluice_write_private(folder, name, buffer.baseAddress, buffer.count)
        }
        try check(result, "write", "\(folder)/\(name)")
        for other in RuntimeFolder.entries(folder) where other.hasPrefix(family) && other != name { RuntimeFolder.remove("\(folder)/\(other)") }
    }
}
