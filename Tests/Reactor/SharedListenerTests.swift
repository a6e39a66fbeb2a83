import Buffers
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
}
