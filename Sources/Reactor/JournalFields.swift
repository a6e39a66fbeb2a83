/// The fields of a JSON line as fields of systemd's journal, so that `journalctl SLUICE_STATUS=502` finds it.
///
/// Takes texts and numbers of the outermost object, no deeper. Escapes stay as they are in the line: no value can begin a field of
/// its own. A line that is no JSON object has no fields.
enum JournalFields {
    /// Bytes of all fields of a line; those beyond are in the message only.
    static let limit = 16 * 1024

    static func append(_ line: borrowing Span<UInt8>, to out: inout [UInt8]) {
        guard line.count > 1, line[0] == UInt8(ascii: "{") else { return }
        let end = out.count + limit
        var at = 1
        while at < line.count, line[at] == UInt8(ascii: "\"") {
            guard let name = text(line, at), name.upperBound + 2 < line.count, line[name.upperBound + 1] == UInt8(ascii: ":") else { return }
            let start = name.upperBound + 2
            guard let value = value(line, start) else { return }
            if !value.range.isEmpty, out.count + name.count + value.range.count + 16 < end { append(line, name, value.range, to: &out) }
            at = value.next
            guard at < line.count, line[at] == UInt8(ascii: ",") else { return }
            at += 1
        }
    }

    private static func append(_ line: borrowing Span<UInt8>, _ name: Range<Int>, _ value: Range<Int>, to out: inout [UInt8]) {
        out += Array("SLUICE_".utf8)
        for index in name {
            let byte = line[index]
            out.append(byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z") ? byte - 32 : byte)
        }
        out.append(UInt8(ascii: "="))
        for index in value { out.append(line[index]) }
        out.append(10)
    }

    /// The inside of a text that begins with the quote at `start`; its end is the closing quote.
    private static func text(_ line: borrowing Span<UInt8>, _ start: Int) -> Range<Int>? {
        var at = start + 1
        while at < line.count {
            switch line[at] {
            case UInt8(ascii: "\""): return start + 1..<at
            case UInt8(ascii: "\\"): at += 2
            default: at += 1
            }
        }
        return nil
    }

    /// What is worth a field of the value at `start` (empty: nothing is), and where it ends.
    private static func value(_ line: borrowing Span<UInt8>, _ start: Int) -> (range: Range<Int>, next: Int)? {
        switch line[start] {
        case UInt8(ascii: "\""):
            return text(line, start).map { ($0, $0.upperBound + 1) }
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            return skipped(line, start).map { (start..<start, $0) }
        default:
            var at = start
            while at < line.count, line[at] != UInt8(ascii: ","), line[at] != UInt8(ascii: "}") { at += 1 }
            return (start..<at, at)
        }
    }

    /// Behind the object or list that begins at `start`.
    private static func skipped(_ line: borrowing Span<UInt8>, _ start: Int) -> Int? {
        var depth = 0
        var at = start
        while at < line.count {
            switch line[at] {
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth == 0 { return at + 1 }
            case UInt8(ascii: "\""):
                guard let inside = text(line, at) else { return nil }
                at = inside.upperBound
            default: break
            }
            at += 1
        }
        return nil
    }
}
