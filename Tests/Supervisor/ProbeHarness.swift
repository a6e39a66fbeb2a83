import Foundation
import Reactor
import Testing

/// What a test waited for did not come.
struct Missing: Error, CustomStringConvertible {
    let description: String
}

/// A supervisor with its workers in processes of their own, its log, and a way to talk to it.
final class Gateway {
    let directory: String
    private let process: ChildProcess
    private let log: Int32
    private var pending: [UInt8] = []
    private(set) var events: [[String: Any]] = []
    /// Everything a test waits for comes within this, or the test fails.
    static let patience: Double = 30

    init(_ configuration: String, workers: Int = 2, drain: Int = 5000) throws {
        directory = NSTemporaryDirectory() + "sluice-supervisor-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try Data(configuration.utf8).write(to: URL(fileURLWithPath: directory + "/conf"))
        var ends: [Int32] = [0, 0]
        // SAFETY: pipe writes two descriptors into room for two.
        guard unsafe pipe(&ends) == 0 else { throw Missing(description: "pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let here = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let probe = URL(fileURLWithPath: here).deletingLastPathComponent().appendingPathComponent("SupervisorProbe").path
        var plan = ChildProcess.Plan(
            executable: probe, arguments: ["SupervisorProbe", "run", directory + "/conf", "\(workers)", "\(drain)"],
            environment: ProcessSetup.environment())
        plan.descriptors = [1: ends[1], 2: ends[1]]
        process = try ChildProcess.spawn(plan)
        close(ends[1])
        log = ends[0]
    }

    deinit {
        process.send(.kill)
        // Whoever waits for the processes of exit tests looks at the first dead child: one that stayed unburied would be that one
        // for ever, and those tests would never end.
        var poller = pollfd(fd: process.pidDescriptor.number, events: Int16(POLLIN), revents: 0)
        // SAFETY: one pollfd, as the count says.
        _ = unsafe poll(&poller, 1, Int32(Gateway.patience * 1000))
        _ = process.reap()
        close(log)
        try? FileManager.default.removeItem(atPath: directory)
    }

    var pid: Int32 { process.pid }

    static let plain = "listener public 127.0.0.1 0\nadmin 127.0.0.1:0\nfunction f 1\n"

    func configure(_ text: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: directory + "/conf"), options: .atomic)
    }

    func signal(_ signal: Signal) { process.send(signal) }

    // MARK: The log

    /// Waits for an event behind those already waited for.
    @discardableResult
    func wait(_ event: String, _ contains: String = "") throws -> [String: Any] {
        let end = Date().addingTimeInterval(Gateway.patience)
        while Date() < end {
            while !unread.isEmpty {
                let next = unread.removeFirst()
                guard next["event"] as? String == event else { continue }
                if contains.isEmpty || (next["message"] as? String ?? "").contains(contains) { return next }
            }
            guard try readMore(until: end) else { break }
        }
        throw Missing(description: "no event \(event) with \"\(contains)\"; log: \(events.map { $0["message"] ?? "" })")
    }

    private var unread: [[String: Any]] = []

    private func readMore(until end: Date) throws -> Bool {
        var poller = pollfd(fd: log, events: Int16(POLLIN), revents: 0)
        // SAFETY: one pollfd, as the count says.
        guard unsafe poll(&poller, 1, Int32(max(0, end.timeIntervalSinceNow) * 1000)) > 0 else { return false }
        var buffer = [UInt8](repeating: 0, count: 65536)
        // SAFETY: read writes at most the count it is given.
        let count = unsafe read(log, &buffer, buffer.count)
        guard count > 0 else { return false }
        pending += buffer[..<count]
        while let feed = pending.firstIndex(of: 0x0A) {
            let line = Data(pending[..<feed])
            pending.removeFirst(feed + 1)
            guard let object = try? JSONSerialization.jsonObject(with: line) as? [String: Any] else { continue }
            events.append(object)
            unread.append(object)
        }
        return true
    }

    /// Takes in what it says for so long: for times that must pass.
    func listen(for seconds: Double) {
        let end = Date().addingTimeInterval(seconds)
        while (try? readMore(until: end)) == true {}
    }

    /// Waits until it ended.
    func end() throws -> ProcessEnd {
        let end = Date().addingTimeInterval(Gateway.patience)
        var poller = pollfd(fd: process.pidDescriptor.number, events: Int16(POLLIN), revents: 0)
        // SAFETY: one pollfd, as the count says.
        _ = unsafe poll(&poller, 1, Int32(Gateway.patience * 1000))
        while try readMore(until: end) {}
        guard let result = process.reap() else { throw Missing(description: "the supervisor did not end") }
        return result
    }

    // MARK: Talking

    /// Waits for readiness. Returns the ports of the listeners by name and of the admin address ("admin").
    func ports() throws -> [String: UInt16] {
        try wait("ready")
        var result: [String: UInt16] = [:]
        for event in events {
            let message = event["message"] as? String ?? ""
            if let name = event["listener"] as? String { result[name] = port(event["address"] as? String ?? "") }
            if event["event"] as? String == "admin" {
                result["admin"] = port(message.replacingOccurrences(of: "/status", with: ""))
            }
        }
        return result
    }

    private func port(_ text: String) -> UInt16 { UInt16(text.split(separator: ":").last ?? "") ?? 0 }

    func admin(_ path: String) throws -> String {
        let port = try #require(knownPorts["admin"])
        let client = try Client(port)
        try client.send("GET \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return try client.readAll()
    }

    lazy var knownPorts: [String: UInt16] = (try? ports()) ?? [:]
}

/// A blocking TCP client with bounded patience.
final class Client {
    private let socket: Int32
    private var buffered: [UInt8] = []

    init(_ port: UInt16) throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var limit = timeval(tv_sec: Int(Gateway.patience), tv_usec: 0)
        // SAFETY: the option value is a timeval of the size passed.
        _ = unsafe setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        // SAFETY: a sockaddr_in is passed with its size.
        let result = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw Missing(description: "cannot connect to port \(port): errno \(errno)") }
    }

    deinit { close(socket) }

    /// Says that no more will be sent.
    func hangUp() { shutdown(socket, Int32(SHUT_WR)) }

    func send(_ text: String) throws {
        let bytes = Array(text.utf8)
        // SAFETY: send reads as many bytes as the array has.
        guard unsafe Glibc.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            throw Missing(description: "send failed: errno \(errno)")
        }
    }

    /// One line; nil when the connection ended.
    func line() throws -> String? {
        while true {
            if let feed = buffered.firstIndex(of: 0x0A) {
                defer { buffered.removeFirst(feed + 1) }
                return String(decoding: buffered[..<feed], as: UTF8.self)
            }
            guard try more() else { return nil }
        }
    }

    func readAll() throws -> String {
        while try more() {}
        return String(decoding: buffered, as: UTF8.self)
    }

    func ask(_ text: String) throws -> String? {
        try send(text + "\n")
        return try line()
    }

    private func more() throws -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65536)
        // SAFETY: recv writes at most the count it is given.
        let count = unsafe recv(socket, &buffer, buffer.count, 0)
        if count < 0, errno == EAGAIN { throw Missing(description: "no answer in time") }
        if count > 0 { buffered += buffer[..<count] }
        return count > 0
    }
}
