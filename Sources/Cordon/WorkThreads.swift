public import Hooks
import Isolates
public import Reactor

/// The threads on which long work of hooks runs, in a worker and in a cordon: few, behind the thread that serves requests in
/// the kernel's eyes, and each with one piece at a time (`WorkLine`).
public final class WorkThreads {
    /// Beside a worker's own thread. A cordon has one: it serves one tenant.
    public static let ofWorker = 2
    private static let niceness: Int32 = 10

    private var line: WorkLine
    private var idle: [Workshop<LongWork.Result>] = []
    private var made = 0
    private unowned let reactor: Reactor
    private let ended: (HookWorkEnd, UInt64) -> Void

    /// - Parameter ended: is told of each piece, with the nanoseconds of processor time it took, before its hook is.
    public init(reactor: Reactor, threads: Int, ended: @escaping (HookWorkEnd, UInt64) -> Void) {
        line = WorkLine(threads: threads)
        self.reactor = reactor
        self.ended = ended
    }

    /// Makes the threads now, for a process that may make none later. They are as they shall be when this returns.
    public func prepare() throws(SystemError) {
        while made < line.threads {
            let thread = try Workshop<LongWork.Result>(reactor: reactor, niceness: Self.niceness)
            thread.awaitStart()
            made += 1
            idle.append(thread)
        }
    }

    public func add(_ work: HookWork) {
        guard line.add(work) else {
            ended(.refused, 0)
            return work.refused()
        }
        advance()
    }

    /// Its call is over.
    public func drop(_ work: HookWork) {
        if !line.remove(work) { work.task.stop() }
    }

    private func advance() {
        while let thread = freeThread() {
            guard let work = line.next() else { return idle.append(thread) }
            let task = work.task, allowance = work.allowance
            thread.make({ task.run(cpuNanoseconds: allowance) }, then: { [weak self] in self?.finished(work, $0, thread) })
        }
    }

    private func finished(_ work: HookWork, _ result: LongWork.Result, _ thread: Workshop<LongWork.Result>) {
        idle.append(thread)
        line.ended(work)
        ended(HookWorkEnd(result), work.task.cpuNanoseconds)
        work.finished(result)
        advance()
    }

    private func freeThread() -> Workshop<LongWork.Result>? {
        if let thread = idle.popLast() { return thread }
        guard made < line.threads, line.waiting > 0, let thread = try? Workshop<LongWork.Result>(reactor: reactor, niceness: Self.niceness) else { return nil }
        made += 1
        return thread
    }
}
