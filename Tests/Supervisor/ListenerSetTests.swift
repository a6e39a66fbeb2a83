@testable import Supervisor
import Foundation
import Reactor
import Testing

@Suite struct ListenerSetTests {
    private func listener(_ name: String, _ port: UInt16 = 0) -> ConfigurationBundle.Listener {
        .init(name: name, address: "127.0.0.1", port: port)
    }

    private func isOpen(_ descriptor: Int32) -> Bool { socket(descriptor) != nil }

    /// Which socket a number stands for: a number that was given up may soon stand for another test's.
    private func socket(_ descriptor: Int32) -> String? {
        try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(descriptor)")
    }

    @Test func whatStaysConfiguredKeepsItsSocketsAndTheRestCloses() throws {
        var set = ListenerSet(workers: 2)
        set.apply(try set.prepare([listener("a"), listener("b")]))
        let kept = try #require(set.entries.first { $0.configured.name == "a" })
        let gone = try #require(set.entries.first { $0.configured.name == "b" })
        let before = (kept: kept.sockets.map(socket), gone: gone.sockets.map(socket))
        let change = try set.prepare([listener("a"), listener("c")])
        #expect(change.added.map(\.configured.name) == ["c"])
        #expect(change.removed.map(\.configured.name) == ["b"])
        set.apply(change)
        #expect(set.entries.map(\.configured.name).sorted() == ["a", "c"])
        #expect(set.entries.first { $0.configured.name == "a" }?.sockets == kept.sockets)
        #expect(kept.sockets.map(socket) == before.kept)
        #expect(zip(gone.sockets.map(socket), before.gone).allSatisfy { $0 != $1 })
        set.closeAll()
        #expect(zip(kept.sockets.map(socket), before.kept).allSatisfy { $0 != $1 })
    }

    @Test func anAddressThatOnlyChangesItsNameKeepsItsQueue() throws {
        var set = ListenerSet(workers: 1)
        defer { set.closeAll() }
        let free = try ListeningSocket.openSingle(listener("probe"))
        ListeningSocket.close(free.socket)
        set.apply(try set.prepare([listener("old", free.port)]))
        let sockets = set.entries[0].sockets
        let change = try set.prepare([listener("new", free.port)])
        #expect(change.added[0].sockets == sockets)
        // A reload that is given up must not close them either.
        set.abandon(change)
        #expect(sockets.allSatisfy(isOpen))
        set.apply(try set.prepare([listener("new", free.port)]))
        #expect(set.entries.map(\.configured.name) == ["new"])
        #expect(sockets.allSatisfy(isOpen))
    }

    @Test func anAddressThatCannotBeHadLeavesTheSetAsItWas() throws {
        var set = ListenerSet(workers: 2)
        defer { set.closeAll() }
        set.apply(try set.prepare([listener("a")]))
        let other = try ListeningSocket.openSingle(listener("other"))
        defer { ListeningSocket.close(other.socket) }
        let error = #expect(throws: ListenError.self) { try set.prepare([listener("b"), listener("c", other.port)]) }
        #expect(error?.listener == "listener c on 127.0.0.1:\(other.port)")
        #expect(set.entries.map(\.configured.name) == ["a"])
    }
}
