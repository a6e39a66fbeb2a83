import Buffers
public import HTTP

/// Brings a path into one canonical form, so that rules, hooks and the origin see the same.
///
/// Dot segments go (RFC 3986 section 5.2.4), percent-encoded unreserved characters are decoded (section 6.2.2.2).
/// An encoded NUL, slash or backslash is refused: origins disagree on what it means.
public enum PathNormalizer {
    public enum Verdict: Sendable { case clean, needsWork, refused }

    public static func check(_ head: borrowing Head) -> Verdict { check(head.bytes(head.path)) }

    /// One pass; a clean path costs nothing more.
    public static func check(_ path: borrowing Span<UInt8>) -> Verdict {
        var verdict = Verdict.clean
        var at = 0
        while at < path.count {
            let byte = path[at]
            if byte == UInt8(ascii: "%") {
                guard at + 2 < path.count, let high = hex(path[at + 1]), let low = hex(path[at + 2]) else { return .refused }
                let decoded = high << 4 | low
                if decoded == 0 || decoded == UInt8(ascii: "/") || decoded == UInt8(ascii: "\\") { return .refused }
                if isUnreserved(decoded) { verdict = .needsWork }
                at += 3
                continue
            }
            if byte == UInt8(ascii: "\\") { return .refused }
            if byte == UInt8(ascii: "."), at > 0, path[at - 1] == UInt8(ascii: "/"), isDotSegment(path, at) { verdict = .needsWork }
            at += 1
        }
        return verdict
    }

    /// Rewrites `head.path`. False when the path climbs above the root.
    public static func normalize(_ head: inout Head) -> Bool {
        guard head.path.count > 0, head.arena[Int(head.path.start)] == UInt8(ascii: "/") else { return true }
        let decoded = decode(&head)
        return removeDotSegments(&head, decoded)
    }

    private static func decode(_ head: inout Head) -> ByteRange {
        let mark = head.arena.count
        var at = Int(head.path.start)
        let end = head.path.end
        while at < end {
            let byte = head.arena[at]
            if byte == UInt8(ascii: "%"), at + 2 < end, let high = hex(head.arena[at + 1]), let low = hex(head.arena[at + 2]),
                isUnreserved(high << 4 | low)
            {
                head.arena.append(byte: high << 4 | low)
                at += 3
            } else {
                head.arena.append(byte: byte)
                at += 1
            }
        }
        return head.arena.range(since: mark)
    }

    private static func removeDotSegments(_ head: inout Head, _ path: ByteRange) -> Bool {
        let mark = head.arena.count
        var at = Int(path.start)
        var depth = 0
        var starts: [Int] = []
        while at < path.end {
            // `at` is at a slash; the segment runs to the next one.
            var next = at + 1
            while next < path.end, head.arena[next] != UInt8(ascii: "/") { next += 1 }
            let length = next - at - 1
            let last = next == path.end
            if length == 1, head.arena[at + 1] == 46 {
                if last { head.arena.append(byte: 47) }
            } else if length == 2, head.arena[at + 1] == 46, head.arena[at + 2] == 46 {
                guard let start = starts.popLast() else { return false }
                depth -= 1
                head.arena.truncate(to: start)
                if last { head.arena.append(byte: 47) }
            } else {
                starts.append(head.arena.count)
                depth += 1
                _ = head.arena.append(copyOf: ByteRange(start: at, count: next - at))
            }
            at = next
        }
        if head.arena.count == mark { head.arena.append(byte: 47) }
        head.path = head.arena.range(since: mark)
        return true
    }

    /// Whether a segment that begins at `at` is `.` or `..`, also when its second dot is encoded.
    private static func isDotSegment(_ path: borrowing Span<UInt8>, _ at: Int) -> Bool {
        var end = at
        while end < path.count, path[end] != UInt8(ascii: "/") { end += 1 }
        return end - at == 1 || (end - at == 2 && path[at + 1] == UInt8(ascii: "."))
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        byte &- 48 < 10 || (byte | 0x20) &- 97 < 26 || byte == 45 || byte == 46 || byte == 95 || byte == 126
    }

    private static func hex(_ byte: UInt8) -> UInt8? {
        if byte &- 48 < 10 { return byte &- 48 }
        let letter = (byte | 0x20) &- 97
        return letter < 6 ? letter + 10 : nil
    }
}
