import Buffers
import HTTP
import Isolates

/// Names of fields by number: a function uses few, again and again, and a number crosses from its isolate for a tenth of what
/// a text costs. Numbers stay as long as the function, whatever becomes of its isolate.
struct NameTable: ~Copyable {
    /// Beyond this many names, and for longer ones, the text is handed over each time.
    static let limit = 512, longest = 64

    private var arena = ByteArena(capacity: 256)
    private var names: [(text: ByteRange, id: FieldName)] = []

    /// The number of a lower-case name, given now if need be; -2 when it gets none.
    mutating func number(of name: borrowing Span<UInt8>) -> Int32 {
        for index in names.indices where arena[names[index].text].equals(name) { return Int32(truncatingIfNeeded: index) }
        guard names.count < NameTable.limit, name.count <= NameTable.longest, isToken(name) else { return -2 }
        names.append((arena.append(name), FieldName(matching: name)))
        return Int32(truncatingIfNeeded: names.count - 1)
    }

    /// Nil for a number that was not given.
    func withName<Result, Failure>(
        _ number: Int32, _ body: (FieldName, borrowing Span<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard names.indices.contains(Int(number)) else { return nil }
        let name = names[Int(number)]
        return try body(name.id, arena[name.text])
    }
}
