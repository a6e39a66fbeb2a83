import Buffers
import Glibc
import Reactor
import Testing

/// Listening sockets are held open by the supervisor while workers come and go.
@Suite struct SharedListenerTests {
    private final class Counting: Channel {
        var calls = 0
        override func ready(_ events: ReadyEvents) {
            calls += 1
            while let connection = ListeningSocket.accept(fd) { ListeningSocket.close(connection) }
        }
    }

    @Test func aListenerThatAnotherHoldsOpenIsForgottenWhenItsChannelCloses() throws {
        let reactor = try Reactor()
        let (sockets, port) = try ListeningSocket.openGroup(.init(name: "a", address: "127.0.0.1", port: 0), count: 1)
        defer { sockets.forEach(ListeningSocket.close) }
        let loopback = try #require(IPAddress("127.0.0.1"))
        func visit() throws { ListeningSocket.close(try Connecting.start(loopback, port: port, reactor: reactor).fd) }

        let first = Counting(fd: try OwnedDescriptor.copy(of: sockets[0]))
        try reactor.addLevelTriggered(first)
        reactor.close(first)
        try visit()
        let waits = reactor.syscalls.wait
        reactor.turn(maximumWait: 20)
        #expect(first.calls == 0 && reactor.syscalls.wait == waits + 1)

        // The number is free again and is given to the next copy, unless another test took it: then it is no proof, and no failure.
        let second = Counting(fd: try OwnedDescriptor.copy(of: sockets[0]))
        try reactor.addLevelTriggered(second)
        reactor.turn(maximumWait: 1000)
        #expect(second.calls == 1 && first.calls == 0)
        reactor.close(second)
    }

    private func congestionControl(_ fd: Int32) -> String {
        var name = [CChar](repeating: 0, count: 16)
        var length = socklen_t(name.count)
        // SAFETY: the array is as long as it is said to be.
        guard unsafe getsockopt(fd, Int32(IPPROTO_TCP), TCP_CONGESTION, &name, &length) == 0 else { return "" }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// What paces, and the system may have chosen that, must not stand between two programs of one machine.
    @Test(arguments: ["127.0.0.1", "127.1.2.3", "::1"])
    func connectionsWithinTheMachineAreNotPaced(address: String) throws {
        let reactor = try Reactor()
        // A machine may have no IPv6; 127.0.0.0/8 it has.
        let opened = address == "::1" ? try? open(address) : try open(address)
        guard let (listener, port) = opened else { return }
        defer { ListeningSocket.close(listener) }
        let client = try Connecting.start(try #require(IPAddress(address)), port: port, reactor: reactor).fd
        defer { ListeningSocket.close(client) }
        let server = try #require(ListeningSocket.accept(listener))
        defer { ListeningSocket.close(server) }
        #expect(congestionControl(client) == "reno" && congestionControl(server) == "reno")
    }

    private func open(_ address: String) throws -> (socket: Int32, port: UInt16) {
        try ListeningSocket.openSingle(.init(name: "a", address: address, port: 0))
    }

    @Test func listenersForOthersHaveWhatTheSystemChose() throws {
        let (listener, _) = try open("0.0.0.0")
        defer { ListeningSocket.close(listener) }
        let plain = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { ListeningSocket.close(plain) }
        #expect(congestionControl(listener) == congestionControl(plain))
    }
}
