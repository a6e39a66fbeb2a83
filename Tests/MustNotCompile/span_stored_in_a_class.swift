// refused: escapes its scope
// A hook call or a connection cannot keep a view beyond the call it was lent for.
import Buffers

final class Keeper {
    var bytes: Span<UInt8>?
}
