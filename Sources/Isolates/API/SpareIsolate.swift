/// An isolate made ahead, with the prelude and nothing else in it: for a function that is not known yet.
///
/// It may be made on one thread and taken on another, once. Making one takes milliseconds, taking it microseconds.
// SAFETY: nobody touches the isolate between `init`, which leaves the thread it ran on, and `take`; whoever hands the
// object over (a queue under a lock) orders the two. `take` is to be called by one thread only, the one that frees it.
@safe public final class SpareIsolate: @unchecked Sendable {
    private var isolate: Isolate?

    public init(prelude: Prelude, limits: IsolateLimits = IsolateLimits()) throws(JSError) {
        isolate = try Isolate(name: "(spare)", prelude: prelude, limits: limits, operations: NativeOperations())
    }

    /// The isolate, which serves `operations` from now on; nil when it was taken before. Its heap limit is the one it
    /// was made with.
    public func take(name: String, externalBytes: Int, operations: NativeOperations) -> Isolate? {
        guard let taken = isolate.take() else { return nil }
        taken.core.assign(name, externalBytes: externalBytes, operations)
        return taken
    }
}
