import Hooks
import Reactor
import Rules

/// Profiles and heap snapshots of functions that serve.
extension Worker {
    /// - Parameter milliseconds: how long to look; 0 for the heap as it is now.
    func look(at name: String, milliseconds: UInt64, then done: @escaping (Result<[UInt8], LookFailure>) -> Void) {
        guard let generation, let shared = generation.functions.functions.first(where: { $0.key.name == name }) else {
            let names = generation?.configuration.functions.map(\.name).joined(separator: ", ") ?? ""
            return done(.failure(LookFailure("there is no function \(name); there are \(names)")))
        }
        guard !shared.isRemote, let function = shared.function else {
            return done(.failure(LookFailure(
                "function \(name) runs in a process of its own, where nobody looks inside: give it `lane: inline` for a while, if it may")))
        }
        guard milliseconds > 0 else {
            return done(snapshot(of: function))
        }
        guard function.startProfile() else { return done(.failure(LookFailure("function \(name) cannot be loaded, or is looked at already"))) }
        schedule(LookTimer(function, done), after: milliseconds)
    }

    /// Bytes of heap of which a snapshot is taken. All requests of the worker wait meanwhile, for about 50 ms for each MB, and what it makes is more than twice
    /// as large: of more it would be too large to be handed out.
    private static let largestHeap: UInt64 = 24 << 20

    private func snapshot(of function: HookFunction) -> Result<[UInt8], LookFailure> {
        let heap = function.heapInUse(most: Self.largestHeap)
        guard heap <= Self.largestHeap else {
            return .failure(LookFailure(
                "the heap of \(function.name) has \(heap >> 20) MiB, and all requests of the worker would wait while it is written; up to \(Self.largestHeap >> 20) MiB are. "
                    + "`sluice run --inspect` gives the function a process of its own, in which DevTools look at any heap"))
        }
        return function.heapSnapshot().map { .success($0) } ?? .failure(LookFailure("the heap of \(function.name) is too large to be written"))
    }
}

private final class LookTimer: Timer {
    private let function: HookFunction
    private let done: (Result<[UInt8], LookFailure>) -> Void
    /// The wheel does not hold its timers.
    private var held: LookTimer?

    init(_ function: HookFunction, _ done: @escaping (Result<[UInt8], LookFailure>) -> Void) {
        self.function = function
        self.done = done
        super.init()
        held = self
    }

    override func fire() {
        held = nil
        let failure = LookFailure("the isolate of \(function.name) was lost meanwhile (its heap limit, a reload, or memory was short): try again")
        done(function.stopProfile().map { .success($0) } ?? .failure(failure))
    }
}
