public import Isolates

/// Work of a call that takes longer than any turn may: keys being made, passwords being stretched, operations with large RSA keys. It runs beside the requests
/// (`HookHost.perform`), and its promise settles in a later turn. When the call ends it is stopped.
public final class HookWork {
    public let function: HookFunction
    public let task: LongWork
    /// What it counts as among what waits: an operation with a key takes milliseconds, and one that makes a key seconds.
    let weight: Int
    private let id: Int32
    private let slot: Int32
    private let epoch: Int32

    init(_ task: LongWork, _ weight: Int, _ id: Int32, for call: HookCall, _ function: HookFunction) {
        self.function = function
        self.task = task
        self.weight = weight
        self.id = id
        slot = call.slot
        epoch = call.epoch
    }

    /// What it may use of a processor, in nanoseconds: what the call's other work has left of `limits.crypto`.
    public var allowance: UInt64 {
        let limit = function.source.limits.cryptoMilliseconds &* 1_000_000, used = call?.progress.workNanoseconds ?? 0
        return limit > used ? limit - used : 0
    }

    private var call: HookCall? { function.call(slot, epoch) }

    func belongs(to call: HookCall) -> Bool { call.slot == slot && call.epoch == epoch }

    /// It has run. Ignored when the call is over.
    public func finished(_ result: LongWork.Result) {
        function.works.removeAll { $0 === self }
        guard let call else { return }
        call.progress.workNanoseconds &+= task.cpuNanoseconds
        switch result {
        case .done(let bytes): settle(call, bytes, "")
        case .failed: settle(call, [], "it failed")
        case .stopped: settle(call, [], "it was stopped")
        case .spent: settle(call, [], "the limit of \(function.source.limits.cryptoMilliseconds) ms of processor time for one call (limits.crypto) was reached")
        }
    }

    /// It will not run: too much waits already.
    public func refused() {
        function.works.removeAll { $0 === self }
        guard let call else { return }
        settle(call, [], "too much work of this kind waits; try again later")
    }

    private func settle(_ call: HookCall, _ bytes: [UInt8], _ message: String) {
        function.enter(.worked, for: call, [.int(id), .bytes(bytes), .string(message)])
    }
}

/// How long work of hooks ended, for counters.
public enum HookWorkEnd: UInt8, Sendable, CaseIterable {
    case done, failed, stopped, spent, refused

    public init(_ result: LongWork.Result) {
        self = switch result {
        case .done: .done
        case .failed: .failed
        case .stopped: .stopped
        case .spent: .spent
        }
    }
}

extension HookOperations {
    /// What `work` is asked for; as in `crypto.js`.
    private enum Kind: Int { case rsa, pbkdf2, pair }

    /// `work(slot, epoch, kind, ...)`: `bits, exponent` for an RSA key; `hash, password, salt, iterations, count` for PBKDF2; what `pair` of
    /// `native` takes for an operation with an RSA key.
    func work(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native)
        guard let kind = Kind(rawValue: try native.int(2)) else { throw .typeError("no such work") }
        let weight = kind == .pair ? 1 : WorkLine.longWeight
        guard function.works.reduce(weight, { $0 + $1.weight }) <= WorkLine.perFunction * 4 else { throw .rangeError("too much work of this kind waits") }
        // Arguments that are none of a pair's make no task, and OpenSSL would refuse them.
        guard let task = try task(kind, native) else { return native.returnInt(-1) }
        let work = HookWork(task, weight, call.progress.nextSubrequest, for: call, function)
        call.progress.nextSubrequest += 1
        function.works.append(work)
        function.events.append(.work(call, call.epoch, work))
        native.returnInt(call.progress.nextSubrequest - 1)
    }

    private func task(_ kind: Kind, _ native: borrowing NativeCall) throws(NativeFailure) -> LongWork? {
        switch kind {
        case .rsa:
            let bits = try native.int32(3)
            guard (1024...8192).contains(bits) else { return nil }
            return LongWork.rsaKey(bits: bits, exponent: UInt32(clamping: try native.int32(4)))
        case .pair: return LongWork.pair(native, 3)
        case .pbkdf2:
            let iterations = try native.double(6), count = try native.int(7)
            guard iterations >= 1, iterations <= Double(UInt32.max), count >= 0 else { return nil }
            return LongWork.pbkdf2(
                hash: try native.latin1(3), password: try native.bytes(4), salt: try native.bytes(5), iterations: UInt32(iterations), count: count)
        }
    }
}

extension HookFunction {
    /// Nobody waits for what a call has asked for.
    func dropWorks(of call: HookCall) {
        for work in works where work.belongs(to: call) { host.drop(work) }
        works.removeAll { $0.belongs(to: call) }
    }
}
