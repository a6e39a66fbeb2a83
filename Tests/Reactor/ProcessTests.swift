import Glibc
import Reactor
import Testing

/// Waits for a descriptor to be readable, bounded.
private func untilReadable(_ descriptor: Int32) -> Bool {
    var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    // SAFETY: one pollfd, as the count says.
    return unsafe poll(&poller, 1, 30_000) == 1
}

private func readAll(_ descriptor: Int32) -> String {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while untilReadable(descriptor) {
        // SAFETY: read writes at most the count it is given.
        let count = unsafe read(descriptor, &buffer, buffer.count)
        if count <= 0 { break }
        all += buffer[..<count]
    }
    return String(decoding: all, as: UTF8.self)
}

private func writeByte(_ descriptor: Int32) -> Bool {
    // SAFETY: one byte of a literal is read.
    unsafe write(descriptor, "x", 1) == 1
}

private struct Pipe {
    let reading: Int32
    let writing: Int32

    init() {
        var ends: [Int32] = [-1, -1]
        // SAFETY: pipe writes two descriptors into room for two.
        _ = unsafe pipe(&ends)
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        (reading, writing) = (ends[0], ends[1])
    }
}

@Suite struct ChildProcessTests {
    private func shell(_ script: String, _ descriptors: [Int32: Int32] = [:], environment: [String] = []) throws -> ChildProcess {
        var plan = ChildProcess.Plan(executable: "/bin/sh", arguments: ["sh", "-c", script], environment: environment)
        plan.descriptors = descriptors
        return try ChildProcess.spawn(plan)
    }

    private func end(_ child: ChildProcess) -> ProcessEnd? {
        _ = untilReadable(child.pidDescriptor.number)
        return child.reap()
    }

    @Test func exitStatusAndSignalAreTold() throws {
        #expect(end(try shell("exit 7")) == .exited(7))
        let waiting = try shell("read forever", [0: Pipe().reading])
        #expect(waiting.reap() == nil)
        waiting.send(.kill)
        #expect(end(waiting) == .signalled(9))
        #expect(waiting.end?.description == "signal 9 (SIGKILL)")
        waiting.send(.kill)
    }

    @Test func aProgramThatIsNotThereIsAnErrorThatNamesIt() {
        let plan = ChildProcess.Plan(executable: "/nowhere/program", arguments: ["program"], environment: [])
        #expect {
            try ChildProcess.spawn(plan)
        } throws: { "\($0)".contains("/nowhere/program") && "\($0)".contains("No such file") }
    }

    @Test func theChildHasExactlyTheMappedDescriptorsAndEnvironment() throws {
        let output = Pipe()
        let unmapped = OwnedDescriptor(adopting: try OwnedDescriptor.copy(of: 2))
        _ = fcntl(unmapped.number, F_SETFD, 0)
        // `ls` itself opens the directory as the lowest free number.
        let child = try shell("echo $GREETING; ls /proc/self/fd | tr '\\n' ' '", [1: output.writing, 5: output.writing], environment: ["GREETING=hi", "PATH=/bin:/usr/bin"])
        close(output.writing)
        #expect(readAll(output.reading) == "hi\n0 1 2 3 5 ")
        close(output.reading)
        #expect(end(child) == .exited(0))
    }

    @Test func crossedMappingsReachTheRightPlaces() throws {
        let first = Pipe()
        let second = Pipe()
        // Each source's number is the other's target: a naive dup2 in order would lose one.
        let child = try shell("echo one > /proc/self/fd/\(second.writing); echo two > /proc/self/fd/\(first.writing)",
            [second.writing: first.writing, first.writing: second.writing])
        close(first.writing)
        close(second.writing)
        #expect(readAll(first.reading) == "one\n")
        #expect(readAll(second.reading) == "two\n")
        #expect(end(child) == .exited(0))
        close(first.reading)
        close(second.reading)
    }

    @Test func blockedSignalsStayBlockedAndOthersAreBackToDefault() throws {
        let output = Pipe()
        var plan = ChildProcess.Plan(
            executable: "/bin/grep", arguments: ["grep", "SigBlk", "/proc/self/status"], environment: [])
        plan.descriptors = [1: output.writing]
        plan.blocked = [.terminate, .hangup]
        let child = try ChildProcess.spawn(plan)
        close(output.writing)
        #expect(readAll(output.reading) == "SigBlk:\t0000000000004001\n")
        close(output.reading)
        #expect(end(child) == .exited(0))
    }
}

@Suite struct ControlSocketTests {
    private func pair() throws -> (ControlSocket, ControlSocket) {
        let (ours, theirs) = try ControlSocket.pair()
        try theirs.descriptor.setNonBlocking(true)
        return (ours, theirs)
    }

    @Test func packetsKeepTheirBordersAndCarryDescriptors() throws {
        let (ours, theirs) = try pair()
        let pipe = Pipe()
        try ours.send([1, 2, 3])
        try ours.send([4], passing: pipe.writing)
        close(pipe.writing)
        guard case .packet(let first) = try theirs.receive() else { throw SystemError(call: "receive", code: 0) }
        #expect(first.bytes == [1, 2, 3])
        guard case .packet(var second) = try theirs.receive() else { throw SystemError(call: "receive", code: 0) }
        #expect(second.bytes == [4])
        let passed = try second.takeDescriptor("a pipe")
        #expect(writeByte(passed.number))
        #expect(fcntl(passed.number, F_GETFD) & FD_CLOEXEC != 0)
        _ = consume passed
        #expect(readAll(pipe.reading) == "x")
        close(pipe.reading)
    }

    @Test func emptyQueueAndGonePeerAreToldApart() throws {
        var (ours, theirs): (ControlSocket?, ControlSocket) = try pair()
        if case .wouldBlock = try theirs.receive() {} else { Issue.record("expected to block") }
        #expect(ours != nil)
        ours = nil
        if case .peerGone = try theirs.receive() {} else { Issue.record("expected the end") }
        #expect(throws: SystemError.self) { try theirs.send([1]) }
    }

    @Test func aFullSocketIsATemporaryError() throws {
        let (ours, theirs) = try pair()
        let packet = [UInt8](repeating: 7, count: 60_000)
        var failure: SystemError?
        var sent = 0
        while failure == nil, sent < 1000 {
            do { try ours.send(packet) } catch { failure = error }
            sent += 1
        }
        #expect(failure?.isTemporary == true)
        if case .packet(let packet) = try theirs.receive() { #expect(packet.bytes.count == 60_000) }
    }
}

@Suite struct ControlMessageTests {
    static let toWorkers: [SupervisorMessage] = [
        .welcome(worker: 3, workers: 8, settings: ["log-format": "json", "empty": ""]),
        .openListener(key: "public@[::1]:443", listener: .init(name: "public", address: "::1", port: 443)),
        .closeListener(key: "x"), .configure(generation: .max), .fence(["a", "b c", "é"]), .fence([]),
        .drain(milliseconds: 30_000, idleMilliseconds: 0), .reopenLogs, .examine(path: "/etc/sluice.yaml"),
    ]
    static let fromWorkers: [WorkerMessage] = [
        .ready(generation: 7), .refused(generation: 8, reason: "no\nreason"), .drained, .loaded(notes: ""),
        .rejected(diagnostics: "x.yaml:1:2: no"),
    ]

    @Test(arguments: toWorkers) func supervisorMessagesSurviveTheWire(_ message: SupervisorMessage) throws {
        #expect(try SupervisorMessage(decoding: message.encoded()) == message)
        for length in 0..<message.encoded().count {
            #expect(throws: PacketError.self) { try SupervisorMessage(decoding: Array(message.encoded().prefix(length))) }
        }
        #expect(throws: PacketError.self) { try SupervisorMessage(decoding: message.encoded() + [0]) }
    }

    @Test(arguments: fromWorkers) func workerMessagesSurviveTheWire(_ message: WorkerMessage) throws {
        #expect(try WorkerMessage(decoding: message.encoded()) == message)
        for length in 0..<message.encoded().count {
            #expect(throws: PacketError.self) { try WorkerMessage(decoding: Array(message.encoded().prefix(length))) }
        }
    }

    @Test func unknownKindsAndNonsenseAreErrors() {
        #expect(throws: PacketError.self) { try SupervisorMessage(decoding: [99]) }
        #expect(throws: PacketError.self) { try WorkerMessage(decoding: [99]) }
        #expect(throws: PacketError.self) { try SupervisorMessage(decoding: [3] + [UInt8](repeating: 255, count: 8)) }
        #expect(throws: PacketError.self) {
            try SupervisorMessage(decoding: SupervisorMessage.welcome(worker: 4096, workers: 1, settings: [:]).encoded())
        }
    }

    @Test func aLongReasonIsShortenedToFitAPacket() throws {
        let message = WorkerMessage.rejected(diagnostics: String(repeating: "é", count: 500_000))
        #expect(message.encoded().count <= ControlSocket.packetLimit)
        guard case .rejected(let text) = try WorkerMessage(decoding: message.encoded()) else { throw SystemError(call: "decode", code: 0) }
        #expect(text.hasSuffix("(shortened)"))
    }
}
