import Buffers
import HTTP

/// Borrowing text from where it lives. A span cannot outlive the access to the object it comes from, so the
/// owner is always a parameter.
enum Access {
    static func with<Result>(_ head: borrowing Head, _ range: ByteRange, _ body: (borrowing Span<UInt8>) -> Result) -> Result {
        body(head.bytes(range))
    }

    static func with<Result>(_ arena: borrowing ByteArena, _ range: ByteRange, _ body: (borrowing Span<UInt8>) -> Result) -> Result {
        body(arena[range])
    }

    static func with<Result>(_ table: borrowing VariableTable, _ range: ByteRange, _ body: (borrowing Span<UInt8>) -> Result) -> Result {
        body(table.bytes(range))
    }

    static func with<Result>(_ constants: [UInt8], _ range: ByteRange, _ body: (borrowing Span<UInt8>) -> Result) -> Result {
        body(constants.span.extracting(Int(range.start)..<range.end))
    }

    static func copy(_ head: borrowing Head, _ range: ByteRange, to arena: inout ByteArena) -> ByteRange {
        arena.append(head.bytes(range))
    }

    static func copy(_ source: borrowing ByteArena, _ range: ByteRange, to arena: inout ByteArena) -> ByteRange {
        arena.append(source[range])
    }

    static func copy(_ table: borrowing VariableTable, _ range: ByteRange, to arena: inout ByteArena) -> ByteRange {
        arena.append(table.bytes(range))
    }

    static func copy(_ constants: [UInt8], _ range: ByteRange, to arena: inout ByteArena) -> ByteRange {
        arena.append(constants.span.extracting(Int(range.start)..<range.end))
    }
}
