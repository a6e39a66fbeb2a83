import CLinux

/// Tells of files that change in folders. Editors and deployment tools replace files by renaming, so folders are watched,
/// not files.
open class FolderWatch: Channel {
    private let descriptor: OwnedDescriptor
    private var folders: [Int32: String] = [:]

    public init() throws(SystemError) {
        descriptor = OwnedDescriptor(adopting: try check(sluice_watch_open(), "inotify_init1", "file watch"))
        super.init(fd: descriptor.number)
    }

    /// A file of a watched folder was written, made, moved or deleted. An empty name: something happened, nobody knows what.
    open func changed(folder: String, name: String) {}

    /// Watches these folders and no others.
    /// - Returns: those that cannot be watched, with the reason.
    public final func watch(_ wanted: Set<String>) -> [(folder: String, error: SystemError)] {
        for (watch, folder) in folders where !wanted.contains(folder) {
            sluice_watch_remove(descriptor.number, watch)
            folders[watch] = nil
        }
        var failures: [(String, SystemError)] = []
        for folder in wanted.subtracting(folders.values).sorted() {
            // SAFETY: C reads the path up to its zero, during the call.
            let watch = unsafe sluice_watch_add(descriptor.number, folder)
            if watch >= 0 {
                folders[watch] = folder
            } else {
                failures.append((folder, SystemError(call: "inotify_add_watch", code: -watch, subject: folder)))
            }
        }
        return failures
    }

    public final override func ready(_ events: ReadyEvents) {
        while true {
            let batch = read()
            guard !batch.isEmpty else { return }
            for event in batch {
                if event.watch < 0 {
                    changed(folder: "", name: "")
                } else if let folder = folders[event.watch] {
                    changed(folder: folder, name: event.name)
                }
            }
        }
    }

    private func read() -> [(watch: Int32, name: String)] {
        var events = Array(repeating: sluice_watch_event(), count: 32)
        let count = unsafe events.withUnsafeMutableBufferPointer { buffer in
            // SAFETY: C writes at most `count` events.
            unsafe sluice_watch_read(descriptor.number, buffer.baseAddress, Int32(buffer.count))
        }
        return (0..<max(0, Int(count))).map { index in
            let name = unsafe withUnsafeBytes(of: events[index].name) { bytes in
                // SAFETY: a C array of bytes; the slice ends at its zero.
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            return (events[index].watch, name)
        }
    }
}
