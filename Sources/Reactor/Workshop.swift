import Buffers
import CLinux
import Glibc

/// A thread of its own for work that blocks or takes long, one piece after the other. Answers arrive on the reactor's
/// thread.
public final class Workshop<Answer: Sendable> {
    private let queue = WorkQueue()
    private let mailbox: Mailbox
    private var waiting: [UInt64: (Answer) -> Void] = [:]
    private var next: UInt64 = 0

    /// - Parameter niceness: how far the work stands back behind the reactor's thread, 0 to 19.
    /// - Throws: when no thread or event descriptor can be had.
    public init(reactor: Reactor, niceness: Int32 = 0) throws(SystemError) {
        mailbox = try reactor.makeMailbox()
        try queue.startThread()
        if niceness > 0 { queue.add { _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, niceness) } }
    }

    deinit { queue.stop() }

    /// Returns when the thread is there and stands back as far as it shall: for a process that is about to give up its rights.
    public func awaitStart() {
        let reached = sluice_blocking_eventfd()
        guard reached >= 0 else { return }
        queue.add { _ = sluice_eventfd_signal(reached) }
        _ = sluice_eventfd_drain(reached)
        _ = sluice_close(reached)
    }

    /// Does `work` on the other thread, then calls `use` with what came of it. Nothing is called once the workshop is gone.
    public func make(_ work: @escaping @Sendable () -> Answer, then use: @escaping (Answer) -> Void) {
        next += 1
        let number = next
        waiting[number] = use
        let counter = Counter(self)
        queue.add { [mailbox] in
            let answer = work()
            mailbox.post { counter.workshop?.deliver(number, answer) }
        }
    }

    /// Frees a value there. Whoever calls this holds the last reference and lets go of it.
    public func discard<Value: Sendable>(_ value: consuming Value) {
        let parcel = Parcel(consume value)
        // Emptied there: whoever is last to let go of the parcel frees no more than that.
        queue.add { parcel.value = nil }
    }

    /// SAFETY: the value is touched by nobody but the other thread once the parcel is on its way.
    private final class Parcel<Value: Sendable>: @unchecked Sendable {
        var value: Value?
        init(_ value: consuming Value) { self.value = value }
    }

    private func deliver(_ number: UInt64, _ answer: Answer) { waiting.removeValue(forKey: number)?(answer) }

    /// Where finished work is handed over.
    /// SAFETY: read only in the mailbox, on the reactor's thread, which is also where the workshop lives and ends.
    private struct Counter: @unchecked Sendable {
        weak var workshop: Workshop?
        init(_ workshop: Workshop) { self.workshop = workshop }
    }
}

private final class WorkQueue: Sendable {
    private struct State {
        var work: [@Sendable () -> Void] = []
        var stopped = false
    }

    private let state = Guarded(State())
    private let wake = sluice_blocking_eventfd()

    deinit { _ = sluice_close(wake) }

    func startThread() throws(SystemError) {
        guard wake >= 0 else { throw SystemError(call: "eventfd", code: -wake) }
        // SAFETY: the thread takes over one count on the queue and gives it back when it ends.
        let context = unsafe Unmanaged.passRetained(self).toOpaque()
        let result = unsafe sluice_thread_start(workThread, context)
        guard result == 0 else {
            unsafe Unmanaged<WorkQueue>.fromOpaque(context).release()
            throw SystemError(call: "pthread_create", code: -result)
        }
    }

    func add(_ work: @escaping @Sendable () -> Void) {
        state.withLock { $0.work.append(work) }
        _ = sluice_eventfd_signal(wake)
    }

    func stop() {
        state.withLock { $0.stopped = true }
        _ = sluice_eventfd_signal(wake)
    }

    fileprivate func run() {
        while true {
            _ = sluice_eventfd_drain(wake)
            while let work = take() { work() }
            if state.withLock({ $0.stopped }) { return }
        }
    }

    /// The oldest piece; nil when there is none or nobody wants the rest.
    private func take() -> (@Sendable () -> Void)? {
        state.withLock { state in
            guard !state.stopped, !state.work.isEmpty else { return nil }
            return state.work.removeFirst()
        }
    }
}

/// A thread's first function: outside any actor, and a plain C function pointer.
private func workThread(_ context: UnsafeMutableRawPointer?) {
    guard let context = unsafe context else { return }
    // SAFETY: `startThread` passed one count on the queue.
    unsafe Unmanaged<WorkQueue>.fromOpaque(context).takeRetainedValue().run()
}
