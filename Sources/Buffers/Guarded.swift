internal import CLinux
import Synchronization

/// State that several threads share, under a lock.
///
/// `Mutex` as it is has ThreadSanitizer report races that are none: where two threads meet, it hands over by a futex inside the
/// runtime's library, which the sanitizer does not see. So it is told here who had the lock and who has it.
public final class Guarded<State>: Sendable {
    private let mutex: Mutex<State>

    public init(_ state: consuming sending State) { mutex = Mutex(state) }

    public func withLock<Result>(_ body: (inout State) -> sending Result) -> sending Result {
        // SAFETY: an address as a name; nothing is read through it.
        let key = unsafe Unmanaged.passUnretained(self).toOpaque()
        return mutex.withLock { state in
            unsafe sluice_lock_taken(key)
            defer { unsafe sluice_lock_given(key) }
            return body(&state)
        }
    }
}
