import Glibc
import Testing

@testable import Reactor

/// A daemon's datagram socket.
private struct Daemon: ~Copyable {
    let path: String
    private let fd: Int32

    init() {
        path = "/tmp/sluice-datagram-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        fd = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // SAFETY: the path is shorter than the room for it; the structure outlives the call.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        _ = unsafe withUnsafePointer(to: &address) { unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(fd, $0, size) } }
    }

    deinit {
        close(fd)
        // SAFETY: the string is NUL-terminated for the call.
        _ = unsafe unlink(path)
    }

    /// What came, a text for each datagram.
    func received() -> [String] {
        var all: [String] = []
        var room = [UInt8](repeating: 0, count: 65_536)
        while true {
            // SAFETY: at most the room's bytes are written.
            let count = unsafe room.withUnsafeMutableBytes { unsafe recv(fd, $0.baseAddress, $0.count, 0) }
            guard count >= 0 else { return all }
            all.append(String(decoding: room.prefix(count), as: UTF8.self))
        }
    }
}

@Suite struct LogDatagramTests {
    private func sent(_ place: (String) -> LogDatagrams.Place, _ lines: [String]) -> [String] {
        let daemon = Daemon()
        let log = LogDatagrams(place(daemon.path))
        for line in lines { log.append(Array((line + "\n").utf8).span) }
        log.flush()
        return daemon.received()
    }

    /// journald leaves a field out that no line feed ends: all entries were without their message once.
    @Test func everyFieldOfTheJournalEndsWithALineFeed() {
        let entries = sent({ .journal(path: $0) }, [#"{"status":200,"path":"/a"}"#, "plain"])
        #expect(
            entries == [
                "PRIORITY=6\nSYSLOG_FACILITY=16\nSYSLOG_IDENTIFIER=sluice\nSLUICE_STATUS=200\nSLUICE_PATH=/a\nMESSAGE={\"status\":200,\"path\":\"/a\"}\n",
                "PRIORITY=6\nSYSLOG_FACILITY=16\nSYSLOG_IDENTIFIER=sluice\nMESSAGE=plain\n",
            ])
    }

    @Test func syslogHasNoLineFeedAtTheEnd() {
        let entries = sent({ .syslog(path: $0) }, ["one", "two"])
        #expect(entries.count == 2 && entries[0].hasPrefix("<134>1 ") && entries[0].hasSuffix(" access - one") && entries[1].hasSuffix(" access - two"))
    }
}
