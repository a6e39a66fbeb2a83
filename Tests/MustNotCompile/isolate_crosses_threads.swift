// refused: Sendable|data race|sending
// V8 belongs to one thread; the compiler keeps it there.
import Isolates

struct Box: ~Copyable, Sendable {
    let isolate: Isolate
}
