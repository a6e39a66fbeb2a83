public import Buffers
import CLinux
import Glibc
import Synchronization

/// Looks names up on a thread of its own, because `getaddrinfo` blocks. Answers arrive on the reactor's thread.
public final class NameLookup {
    private let queue: LookupQueue

    /// - Throws: when no thread or event descriptor can be had.
    public init(reactor: Reactor) throws(SystemError) {
        queue = LookupQueue(mailbox: try reactor.makeMailbox())
        try queue.startThread()
    }

    deinit { queue.stop() }

    /// Called on the reactor's thread for every `look(up:id:)`; no addresses when the name does not resolve.
    public func onAnswer(_ handler: @escaping (UInt64, [IPAddress]) -> Void) {
        queue.deliver.withLock { $0 = Answer(handler) }
    }

    /// - Parameter id: comes back with the answer.
    public func look(up name: String, id: UInt64) { queue.ask(name, id) }
}

/// SAFETY: the closure is made and called on the reactor's thread only; the lock merely carries it there.
private struct Answer: @unchecked Sendable {
    let call: (UInt64, [IPAddress]) -> Void
    init(_ call: @escaping (UInt64, [IPAddress]) -> Void) { self.call = call }
}

private final class LookupQueue: Sendable {
    private struct State {
        var names: [(String, UInt64)] = []
        var stopped = false
    }

    private let state = Mutex(State())
    let deliver = Mutex<Answer?>(nil)
    private let mailbox: Mailbox
    private let wake: Int32

    init(mailbox: Mailbox) {
        self.mailbox = mailbox
        wake = sluice_blocking_eventfd()
    }

    deinit { _ = sluice_close(wake) }

    func startThread() throws(SystemError) {
        guard wake >= 0 else { throw SystemError(call: "eventfd", code: -wake) }
        // SAFETY: the thread takes over one count on the queue and gives it back when it ends.
        let context = unsafe Unmanaged.passRetained(self).toOpaque()
        let result = unsafe sluice_thread_start(lookupThread, context)
        guard result == 0 else {
            unsafe Unmanaged<LookupQueue>.fromOpaque(context).release()
            throw SystemError(call: "pthread_create", code: -result)
        }
    }

    func ask(_ name: String, _ id: UInt64) {
        state.withLock { $0.names.append((name, id)) }
        _ = sluice_eventfd_signal(wake)
    }

    func stop() {
        state.withLock { $0.stopped = true }
        _ = sluice_eventfd_signal(wake)
    }

    fileprivate func run() {
        while true {
            _ = sluice_eventfd_drain(wake)
            let (names, stopped) = state.withLock { state in
                let taken = state.names
                state.names = []
                return (taken, state.stopped)
            }
            if stopped { return }
            for (name, id) in names { answer(id, LookupQueue.addresses(of: name)) }
        }
    }

    private func answer(_ id: UInt64, _ addresses: [IPAddress]) {
        mailbox.post { [weak self] in self?.deliver.withLock { $0 }?.call(id, addresses) }
    }

    private static func addresses(of name: String) -> [IPAddress] {
        var found: [sluice_address] = Array(repeating: sluice_address(), count: 16)
        // SAFETY: C writes at most 16 entries and answers how many.
        let count = unsafe found.withUnsafeMutableBufferPointer { unsafe sluice_resolve(name, $0.baseAddress, 16) }
        return found.prefix(max(0, Int(count))).map { IPAddress($0) }
    }
}

/// A thread's first function: outside any actor, and a plain C function pointer.
private func lookupThread(_ context: UnsafeMutableRawPointer?) {
    guard let context = unsafe context else { return }
    // SAFETY: `startThread` passed one count on the queue.
    unsafe Unmanaged<LookupQueue>.fromOpaque(context).takeRetainedValue().run()
}
