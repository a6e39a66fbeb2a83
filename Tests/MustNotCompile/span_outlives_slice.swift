// refused: lifetime-dependent
// A view of a slab's bytes must not live longer than the slice that keeps the slab.
import Buffers

@_lifetime(immortal)
func leak(_ slice: consuming Slice) -> Span<UInt8> {
    slice.bytes
}
