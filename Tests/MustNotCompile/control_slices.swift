// compiles: the legal use of everything that the other files misuse
import Buffers

func firstByte(of slice: borrowing Slice) -> UInt8? {
    let bytes = slice.bytes
    return bytes.isEmpty ? nil : bytes[0]
}

func handOver(_ slice: consuming Slice, to chain: inout Chain) {
    let copy = slice.shared()
    chain.append(slice)
    chain.append(copy)
}

func lookInto(_ arena: borrowing ByteArena, _ range: ByteRange) -> Int {
    arena[range].count
}
