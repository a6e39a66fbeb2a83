import Buffers
import HTTP

/// Values that stand inside others: query arguments and cookies.
extension RuleRunner {
    /// The first argument of this name, with `%XX` and `+` decoded as origins do, so that a rule cannot be
    /// evaded by another spelling.
    mutating func argument(_ name: ByteRange, _ query: ByteRange, _ generation: Generation, _ exchange: Exchange) -> Located? {
        Self.argument(name, query, generation.program.constants, exchange.request, &scratch)
    }

    private static func argument(
        _ name: ByteRange, _ query: ByteRange, _ constants: [UInt8], _ head: borrowing Head, _ scratch: inout ByteArena
    ) -> Located? {
        let text = head.bytes(query)
        let wanted = constants.span.extracting(Int(name.start)..<name.end)
        var start = 0
        while start <= text.count {
            let end = text.firstIndex(of: UInt8(ascii: "&"), from: start) ?? text.count
            let equals = min(text.firstIndex(of: UInt8(ascii: "="), from: start) ?? end, end)
            if decodes(text.extracting(start..<equals), to: wanted) {
                let value = min(equals + 1, end)..<end
                let range = ByteRange(start: Int(query.start) + value.lowerBound, count: value.count)
                return decoded(text.extracting(value), range, &scratch)
            }
            start = end + 1
        }
        return nil
    }

    private static func decodes(_ text: borrowing Span<UInt8>, to wanted: borrowing Span<UInt8>) -> Bool {
        var index = 0
        var position = 0
        while index < text.count {
            guard position < wanted.count else { return false }
            let (byte, length) = character(text, index)
            guard byte == wanted[position] else { return false }
            index += length
            position += 1
        }
        return position == wanted.count
    }

    /// The value in place when nothing in it is encoded.
    private static func decoded(_ text: borrowing Span<UInt8>, _ range: ByteRange, _ scratch: inout ByteArena) -> Located {
        guard text.firstIndex(of: UInt8(ascii: "%")) != nil || text.firstIndex(of: UInt8(ascii: "+")) != nil else {
            return Located(store: .request, range: range)
        }
        let mark = scratch.count
        var index = 0
        while index < text.count {
            let (byte, length) = character(text, index)
            scratch.append(byte: byte)
            index += length
        }
        return Located(store: .scratch, range: scratch.range(since: mark))
    }

    /// One byte of an encoded form and how many it was written with. A broken `%` stands for itself.
    private static func character(_ text: borrowing Span<UInt8>, _ index: Int) -> (byte: UInt8, length: Int) {
        let byte = text[index]
        if byte == UInt8(ascii: "+") { return (UInt8(ascii: " "), 1) }
        guard byte == UInt8(ascii: "%"), index + 2 < text.count, let high = hex(text[index + 1]), let low = hex(text[index + 2])
        else { return (byte, 1) }
        return (high << 4 | low, 3)
    }

    private static func hex(_ byte: UInt8) -> UInt8? {
        if byte &- 48 < 10 { return byte - 48 }
        let lower = byte | 0x20
        return lower &- 97 < 6 ? lower - 87 : nil
    }

    /// The first cookie of this name, over all `Cookie` fields (HTTP/2 may split them).
    func cookie(_ name: ByteRange, _ generation: Generation, _ exchange: Exchange) -> Located? {
        let constants = generation.program.constants
        var index = 0
        while let field = exchange.request.firstIndex(of: .cookie, from: index) {
            let range = exchange.request.fields[field].value
            let value = Access.with(constants, name) { wanted in
                Access.with(exchange.request, range) { Self.cookie(wanted, in: $0) }
            }
            if let value {
                return Located(store: .request, range: ByteRange(start: Int(range.start) + value.lowerBound, count: value.count))
            }
            index = field + 1
        }
        return nil
    }

    private static func cookie(_ wanted: borrowing Span<UInt8>, in text: borrowing Span<UInt8>) -> Range<Int>? {
        var start = 0
        while start < text.count {
            let end = text.firstIndex(of: UInt8(ascii: ";"), from: start) ?? text.count
            while start < end, text[start] == UInt8(ascii: " ") { start += 1 }
            if let equals = text.firstIndex(of: UInt8(ascii: "="), from: start), equals < end,
                text.extracting(start..<equals).equals(wanted) {
                return equals + 1..<end
            }
            start = end + 1
        }
        return nil
    }
}
