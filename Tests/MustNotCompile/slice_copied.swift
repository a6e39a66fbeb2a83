// refused: consumed
// One slice is one count on its slab: a copy by accident would give the count back twice.
import Buffers

func twice(_ slice: consuming Slice, _ chain: inout Chain) {
    chain.append(slice)
    chain.append(slice)
}
