import HTTP
import Hooks
import Reactor
import Telemetry

/// Console lines of hooks as they go into the worker's log: bounded by the second, because requests come as often as a client likes and
/// each call has its `limits.log_bytes`.
struct HookLogBook {
    /// Of one function, or of all in a cordon; as much as one call may write where that is more.
    static let bytesPerSecond = 64 << 10

    private var second: UInt64 = 0
    private var bytes: [String: Int] = [:]

    enum Verdict { case written, firstDropped, dropped }

    /// - Parameter now: monotonic nanoseconds.
    mutating func verdict(on count: Int, of name: String, atMost limit: Int, now: UInt64) -> Verdict {
        if now / 1_000_000_000 != second {
            second = now / 1_000_000_000
            bytes.removeAll(keepingCapacity: true)
        }
        let before = bytes[name, default: 0], most = max(limit, Self.bytesPerSecond)
        bytes[name] = before + count
        return before + count <= most ? .written : before <= most ? .firstDropped : .dropped
    }
}

extension WorkerHooks {
    /// A line that a hook's console wrote. `name` is who has the allowance: the function, or the cordon it is in.
    func log(_ level: Int, of function: HookSource, as name: String, _ call: HookCall?, _ text: String) {
        switch logBook.verdict(on: text.utf8.count, of: name, atMost: function.limits.logBytes, now: worker.nowNanoseconds) {
        case .written:
            let names = ["debug", "info", "warning", "error"]
            worker.noteHook(names[min(max(level, 0), 3)], function: function.name, request: (call as? GatewayHookCall)?.requestID.text ?? "", text: text)
            return
        case .firstDropped: worker.note(.warning, "console lines of \(name) are dropped: more than \(HookLogBook.bytesPerSecond >> 10) KiB in a second")
        case .dropped: break
        }
        worker.metrics.add(.hookLogDropped, text.utf8.count)
    }
}
