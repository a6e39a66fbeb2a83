// refused: lifetime-dependent
import Buffers

func leak(from chain: inout Chain) -> UInt8 {
    var kept = Span<UInt8>()
    if let slice = chain.popFirst() {
        kept = slice.bytes
    }
    return kept[0]
}
