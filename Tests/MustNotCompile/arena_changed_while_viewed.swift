// refused: overlapping accesses|conflicts
// Appending may move the arena's memory away under the view.
import Buffers

func grow(_ arena: inout ByteArena, _ range: ByteRange) -> UInt8 {
    let bytes = arena[range]
    arena.append(byte: 0)
    return bytes[0]
}
