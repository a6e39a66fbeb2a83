import Foundation
import Reactor
import Telemetry
import Testing

@Suite struct ConfigurationBundleTests {
    private let bundle = ConfigurationBundle(
        mainFile: "rules/main.yaml",
        listeners: [
            .init(name: "public", address: "0.0.0.0", port: 443), .init(name: "six", address: "::1", port: 0),
        ],
        admin: "127.0.0.1:9901", functions: [.init(name: "auth", fingerprint: .max)],
        parts: [.init(kind: "rule", name: "a/b", digest: 7, group: "a")],
        files: [.init(path: "rules/main.yaml", bytes: Array("sluice: 1\n".utf8)), .init(path: "empty", bytes: []), .init(path: "binary", bytes: Array(0...255))])

    @Test func whatIsEncodedIsDecoded() throws {
        #expect(try ConfigurationBundle(decoding: bundle.encoded()) == bundle)
        let empty = ConfigurationBundle(mainFile: "", listeners: [])
        #expect(try ConfigurationBundle(decoding: empty.encoded()) == empty)
        #expect(bundle.file("binary")?.count == 256)
        #expect(bundle.listeners.map(\.endpoint) == ["0.0.0.0:443", "[::1]:0"])
    }

    @Test func everyTruncationAndEveryFlippedBitIsRefused() {
        let bytes = bundle.encoded()
        for length in 0..<bytes.count {
            #expect(throws: PacketError.self) { try ConfigurationBundle(decoding: Array(bytes.prefix(length))) }
        }
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 1 << UInt8(index % 8)
            #expect(throws: PacketError.self) { try ConfigurationBundle(decoding: damaged) }
        }
    }

    @Test func sealedMemoryCanBeReadAndNotWritten() throws {
        let memory = try SealedMemory.create(name: "test", bundle.encoded())
        #expect(try SealedMemory.read(memory) == bundle.encoded())
        // SAFETY: one byte of a literal is read.
        #expect(unsafe pwrite(memory.number, "x", 1, 0) == -1)
        #expect(ftruncate(memory.number, 0) == -1)
        #expect(try SealedMemory.read(memory) == bundle.encoded())
        let large = [UInt8](repeating: 9, count: 3_000_000)
        #expect(try SealedMemory.read(SealedMemory.create(name: "large", large)) == large)
    }

    @Test func memoryThatIsNotSealedIsRefused() throws {
        let ends = try OwnedDescriptor.copy(of: 2)
        let other = OwnedDescriptor(adopting: ends)
        #expect(throws: SystemError.self) { try SealedMemory.read(other) }
    }
}

@Suite struct SharedRegionTests {
    /// Two mappings of one region, as supervisor and worker have them.
    private func mappings() throws -> (SharedRegion, SharedRegion) {
        let supervisor = try SharedRegion.create()
        return (supervisor, try SharedRegion(adopting: supervisor.descriptor.duplicate()))
    }

    @Test func aWorkersWordsAndHeartbeatAreSeenByTheOtherMapping() throws {
        let (supervisor, worker) = try mappings()
        #expect(Metrics.wordCount <= SharedRegion.wordCapacity)
        let metrics = Metrics()
        metrics.add(.requestsHTTP2, 42)
        metrics.withWords { worker.publish(worker: 5, $0) }
        worker.beat(worker: 5, now: 77)
        #expect(supervisor.words(worker: 5, count: Metrics.wordCount)[Counter.requestsHTTP2.rawValue] == 42)
        #expect(supervisor.heartbeat(worker: 5) == 77)
        #expect(supervisor.words(worker: 4, count: Metrics.wordCount).allSatisfy { $0 == 0 })
        #expect(supervisor.words(worker: 6, count: Metrics.wordCount).allSatisfy { $0 == 0 })
        supervisor.reset(worker: 5)
        #expect(supervisor.words(worker: 5, count: Metrics.wordCount).allSatisfy { $0 == 0 })
        #expect(supervisor.heartbeat(worker: 5) == 0)
    }

    @Test func theRunningSlotTellsWhichCallAndOnlyWhileItRuns() throws {
        let (supervisor, worker) = try mappings()
        let slot = RunningSlot(region: worker, worker: 1)
        let first = RunningLabel(identity: 1, function: "auth", rule: "login", place: "rules.yaml:38")
        let second = RunningLabel(identity: 2, function: "a", rule: "b", place: "c")
        #expect(supervisor.runningDeadline(worker: 1) == nil)
        #expect(supervisor.running(worker: 1) == nil)
        slot.enter(first, request: (high: 0x1f, low: 2), started: 10, deadline: 20, generation: 3)
        #expect(supervisor.runningDeadline(worker: 1) == 20)
        #expect(
            supervisor.running(worker: 1)
                == RunningReport(
                    function: "auth", rule: "login", place: "rules.yaml:38", request: "000000000000001f0000000000000002", sequence: 1, started: 10,
                    deadline: 20, generation: 3))
        slot.leave()
        #expect(supervisor.running(worker: 1) == nil)
        slot.enter(second, request: (0, 0), started: 30, deadline: 40, generation: 3)
        #expect(supervisor.running(worker: 1)?.function == "a")
        #expect(supervisor.running(worker: 1)?.request == "")
        #expect(supervisor.running(worker: 1)?.sequence == 2)
        slot.leave()
        slot.enter(first, request: (high: 0x1f, low: 2), started: 30, deadline: 40, generation: 3)
        #expect(supervisor.running(worker: 1)?.function == "auth")
        #expect(supervisor.running(worker: 0) == nil)
    }

    @Test func textsLongerThanTheSlotAreCut() throws {
        let (supervisor, worker) = try mappings()
        let slot = RunningSlot(region: worker, worker: 0)
        let long = String(repeating: "x", count: 1000)
        let label = RunningLabel(identity: 1, function: long, rule: long, place: long)
        slot.enter(label, request: (0, 1), started: 1, deadline: 2, generation: 1)
        let report = try #require(supervisor.running(worker: 0))
        #expect(report.function == String(repeating: "x", count: 96))
        #expect(report.rule.utf8.count == 96)
        #expect(report.place.utf8.count == 160)
    }

    @Test func strikesAreListedForEveryProcess() throws {
        let (supervisor, worker) = try mappings()
        supervisor.setStrikes(index: 0, function: "auth", strikes: 2, fenced: true)
        supervisor.setStrikes(index: 1, function: "other", strikes: 1, fenced: false)
        let seen = worker.strikes()
        #expect(seen.map(\.function) == ["auth", "other"])
        #expect(seen.map(\.strikes) == [2, 1])
        #expect(seen.map(\.fenced) == [true, false])
        supervisor.setStrikes(index: 0, function: "", strikes: 0, fenced: false)
        #expect(worker.strikes().map(\.function) == ["other"])
    }

    @Test func memoryOfAnotherLayoutIsRefused() throws {
        let other = try SealedMemory.create(name: "other", [1, 2, 3])
        #expect(throws: SystemError.self) { try SharedRegion(adopting: other.duplicate()) }
    }
}

@Suite struct ListeningSocketTests {
    private func listener(_ address: String, _ port: UInt16 = 0) -> ConfigurationBundle.Listener {
        .init(name: "test", address: address, port: port)
    }

    @Test func aGroupSharesOnePortOfTheKernelsChoice() throws {
        let (sockets, port) = try ListeningSocket.openGroup(listener("127.0.0.1"), count: 3)
        defer { sockets.forEach(ListeningSocket.close) }
        #expect(sockets.count == 3)
        #expect(port != 0)
        // Neither a second group nor a single socket may join unnoticed.
        for open in [true, false] {
            let error = #expect(throws: ListenError.self) {
                if open { _ = try ListeningSocket.openGroup(listener("127.0.0.1", port), count: 1) } else { _ = try ListeningSocket.openSingle(listener("127.0.0.1", port)) }
            }
            #expect(error?.description.contains("listener test on 127.0.0.1:\(port)") == true)
            #expect(error?.description.contains("already in use") == true)
            #expect(error?.remedy.isEmpty == false)
        }
    }

    @Test func badAddressesAreNamedWithARemedy() {
        for address in ["localhost", "127.0.0.300", "", "::g", "127.0.0.1/8"] {
            let error = #expect(throws: ListenError.self) { try ListeningSocket.openSingle(listener(address)) }
            #expect(error?.cause.contains("not a numeric") == true)
        }
        let absent = #expect(throws: ListenError.self) { try ListeningSocket.openSingle(listener("203.0.113.1")) }
        #expect(absent?.cause.contains("does not have that address") == true)
    }

    @Test func ipv6SocketsLeaveTheIPv4PortAlone() throws {
        guard let (six, port) = try? ListeningSocket.openSingle(listener("::")) else { return }
        defer { ListeningSocket.close(six) }
        let (four, _) = try ListeningSocket.openSingle(listener("0.0.0.0", port))
        ListeningSocket.close(four)
    }

    @Test func nothingWaitingMeansNoConnection() throws {
        let (socket, _) = try ListeningSocket.openSingle(listener("127.0.0.1"))
        defer { ListeningSocket.close(socket) }
        #expect(ListeningSocket.accept(socket) == nil)
    }
}

@Suite struct LogFileTests {
    private func line(_ text: String) -> [UInt8] { Array((text + "\n").utf8) }

    private func contents(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }

    @Test func linesAreAppendedOnFlushAndAMovedFileIsMadeAnewOnReopen() throws {
        let path = NSTemporaryDirectory() + "sluice-log-" + UUID().uuidString
        defer { for each in [path, path + ".1"] { try? FileManager.default.removeItem(atPath: each) } }
        let file = try LogFile(path: path)
        file.append(line("one").span)
        #expect(contents(path) == "")
        file.flush()
        #expect(contents(path) == "one\n")
        try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
        file.append(line("two").span)
        try file.reopen()
        file.append(line("three").span)
        file.flush()
        #expect(contents(path + ".1") == "one\ntwo\n")
        #expect(contents(path) == "three\n")
        #expect(file.lines == 3)
        #expect(file.dropped == 0)
    }

    @Test func anInheritedFileIsSharedWithItsOtherWriters() throws {
        let path = NSTemporaryDirectory() + "sluice-log-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data().write(to: URL(fileURLWithPath: path))
        let handle = try #require(FileHandle(forWritingAtPath: path))
        let file = try LogFile(inherited: handle.fileDescriptor)
        file.append(line("ours").span)
        file.flush()
        handle.write(Data("theirs\n".utf8))
        file.append(line("ours again").span)
        file.flush()
        #expect(contents(path) == "ours\ntheirs\nours again\n")
    }

    @Test func aFullDiskDropsLinesAndCountsThem() throws {
        let file = try LogFile(path: "/dev/full")
        file.append(line("one").span)
        file.append(line("two").span)
        file.flush()
        #expect(file.dropped == 2)
        #expect(file.lastError == ENOSPC)
        #expect(!file.hasPending)
    }

    @Test func aPipeThatNobodyReadsNeverBlocksAndLosesOnlyWholeLines() throws {
        var ends: [Int32] = [-1, -1]
        // SAFETY: pipe writes two descriptors into room for two.
        _ = unsafe pipe(&ends)
        defer { close(ends[0]) }
        let file = try LogFile(inherited: ends[1], limit: 8192)
        close(ends[1])
        let text = line(String(repeating: "a", count: 99))
        for _ in 0..<5000 {
            file.append(text.span)
            file.flush()
        }
        #expect(file.dropped > 0)
        #expect(file.dropped + file.lines == 5000)
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        // SAFETY: read writes at most the count it is given.
        let count = unsafe read(ends[0], &buffer, buffer.count)
        #expect(count > 0 && count % 100 == 0)
    }

    @Test func aPathThatCannotBeOpenedIsNamed() {
        let error = #expect(throws: SystemError.self) { try LogFile(path: "/nowhere/access.log") }
        #expect(error?.description.contains("/nowhere/access.log") == true)
    }
}
