import Buffers
public import Reactor

/// Turns names into addresses on a thread of its own and brings the answer back to the reactor's.
public final class Resolver {
    private let thread: NameLookup
    private var waiting: [UInt64: ([IPAddress]) -> Void] = [:]
    private var next: UInt64 = 0

    public init(reactor: Reactor) throws(SystemError) {
        thread = try NameLookup(reactor: reactor)
        thread.onAnswer { [weak self] id, addresses in self?.waiting.removeValue(forKey: id)?(addresses) }
    }

    /// Calls `answer` on the reactor's thread; with nothing when the name does not resolve.
    func resolve(_ name: String, _ answer: @escaping ([IPAddress]) -> Void) {
        next += 1
        waiting[next] = answer
        thread.look(up: name, id: next)
    }
}
