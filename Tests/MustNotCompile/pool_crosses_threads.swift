// refused: Sendable|data race|sending
// The counts of slabs are plain integers.
import Buffers

func elsewhere(_ pool: SlabPool) {
    Task.detached { pool.releaseFree() }
}
