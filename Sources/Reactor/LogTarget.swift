/// Where log lines go. Never waits: what cannot be written now is kept for a while, then dropped and counted.
open class LogTarget {
    /// What the room calls a place that cannot be written to, and since when it can again: one line each, not thousands.
    public enum Health: Sendable, Equatable {
        case fine
        /// Lines are lost; why.
        case losing(String)
    }

    init() {}

    /// Lines taken and lines lost since the beginning.
    open var lines: Int { 0 }
    open var dropped: Int { 0 }
    open var hasPending: Bool { false }
    /// errno of the last failed write, 0 after a good one.
    open var lastError: Int32 { 0 }

    /// Takes one line, line feed included.
    open func append(_ line: borrowing Span<UInt8>) {}
    /// Writes what waits as far as that goes without waiting.
    open func flush() {}
    /// Opens it anew: a file was moved away, a daemon was started again.
    open func reopen() throws(SystemError) {}

    private var told = Health.fine
    private var droppedBefore = 0

    /// What there is to tell since the last call; nil: nothing new. Call it now and then.
    public final func news() -> Health? {
        let lost = dropped - droppedBefore
        droppedBefore = dropped
        let why = lastError == 0 ? "nobody reads them" : SystemError(call: "write", code: lastError).reason.lowercased()
        let now: Health = lost > 0 ? .losing(why) : lastError == 0 && !hasPending ? .fine : told
        guard now != told else { return nil }
        told = now
        return now
    }
}
