import Buffers
public import HTTP

/// What a gateway may choose about paths.
public struct PathPolicy: Sendable {
    /// `%2F` and `%5C` stay as they are; otherwise they are refused, because origins disagree on what they mean.
    public var keepsEncodedSlashes = false
    /// `//` becomes `/`.
    public var mergesSlashes = false

    public init(keepsEncodedSlashes: Bool = false, mergesSlashes: Bool = false) {
        self.keepsEncodedSlashes = keepsEncodedSlashes
        self.mergesSlashes = mergesSlashes
    }
}

/// Brings a path into one canonical form, so that rules, hooks and the origin see the same.
///
/// Dot segments go (RFC 3986 section 5.2.4), percent-encoded unreserved characters are decoded (section 6.2.2.2) and
/// other percent-encodings get upper-case digits (6.2.2.1). Refused is what origins read in different ways: an encoded
/// NUL, a backslash, a `%` without two digits, and dot segments with parameters (`/..;x/`) or between encoded slashes.
public enum PathNormalizer {
    public enum Verdict: Sendable { case clean, needsWork, refused }

    public static func check(_ head: borrowing Head) -> Verdict { check(head.bytes(head.path)) }

    /// One pass; a clean path costs nothing more.
    public static func check(_ path: borrowing Span<UInt8>, policy: PathPolicy = PathPolicy()) -> Verdict {
        var verdict = Verdict.clean
        var at = 0
        while at < path.count {
            let byte = path[at]
            if byte == UInt8(ascii: "%") {
                guard let decoded = decode(path, at), isHarmless(decoded, policy) else { return .refused }
                if isSlash(decoded), startsWithDots(path, at + 3) { return .refused }
                if ASCIISet.unreserved.contains(decoded) || path[at + 1] >= 97 || path[at + 2] >= 97 { verdict = .needsWork }
                at += 3
                continue
            }
            if byte == UInt8(ascii: "\\") || byte == 0 { return .refused }
            if byte == UInt8(ascii: "/") {
                switch segment(path, at + 1) {
                case .ordinary: break
                case .dots: verdict = .needsWork
                case .ambiguousDots: return .refused
                case .empty: if policy.mergesSlashes { verdict = .needsWork }
                }
            }
            at += 1
        }
        return verdict
    }

    /// Rewrites `head.path`, which `check` did not refuse. False when the path climbs above the root.
    public static func normalize(_ head: inout Head, policy: PathPolicy = PathPolicy()) -> Bool {
        guard head.path.count > 0, head.arena[Int(head.path.start)] == UInt8(ascii: "/") else { return true }
        let decoded = decodeUnreserved(&head)
        return removeDotSegments(&head, decoded, mergesSlashes: policy.mergesSlashes)
    }

    // MARK: Percent-encoding

    @inline(__always)
    private static func decode(_ path: borrowing Span<UInt8>, _ at: Int) -> UInt8? {
        guard at + 2 < path.count, let high = hexValue(path[at + 1]), let low = hexValue(path[at + 2]) else { return nil }
        return high << 4 | low
    }

    private static func isHarmless(_ decoded: UInt8, _ policy: PathPolicy) -> Bool {
        decoded != 0 && (policy.keepsEncodedSlashes || !isSlash(decoded))
    }

    private static func isSlash(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "/") || byte == UInt8(ascii: "\\") }

    private static func decodeUnreserved(_ head: inout Head) -> ByteRange {
        let mark = head.arena.count
        var at = Int(head.path.start)
        let end = head.path.end
        while at < end {
            let byte = head.arena[at]
            guard byte == UInt8(ascii: "%"), at + 2 < end, let high = hexValue(head.arena[at + 1]),
                let low = hexValue(head.arena[at + 2])
            else {
                head.arena.append(byte: byte)
                at += 1
                continue
            }
            if ASCIISet.unreserved.contains(high << 4 | low) {
                head.arena.append(byte: high << 4 | low)
            } else {
                head.arena.append(byte: byte)
                head.arena.append(byte: upperDigit(high))
                head.arena.append(byte: upperDigit(low))
            }
            at += 3
        }
        return head.arena.range(since: mark)
    }

    private static func upperDigit(_ value: UInt8) -> UInt8 { value < 10 ? 48 + value : 55 + value }

    // MARK: Segments

    private enum Segment { case ordinary, empty, dots, ambiguousDots }

    /// What the segment that begins at `start` is; its dots may be encoded.
    @inline(__always)
    private static func segment(_ path: borrowing Span<UInt8>, _ start: Int) -> Segment {
        guard start < path.count else { return .ordinary }
        let first = path[start]
        if first == UInt8(ascii: "/") { return .empty }
        return first == UInt8(ascii: ".") || first == UInt8(ascii: "%") ? dots(path, start) : .ordinary
    }

    private static func dots(_ path: borrowing Span<UInt8>, _ start: Int) -> Segment {
        var at = start
        var count = 0
        while at < path.count {
            if path[at] == UInt8(ascii: ".") {
                at += 1
            } else if path[at] == UInt8(ascii: "%"), decode(path, at) == UInt8(ascii: ".") {
                at += 3
            } else {
                break
            }
            count += 1
        }
        guard (1...2).contains(count) else { return .ordinary }
        if at == path.count || path[at] == UInt8(ascii: "/") { return .dots }
        guard let next = path[at] == UInt8(ascii: "%") ? decode(path, at) : path[at] else { return .ordinary }
        return next == UInt8(ascii: ";") || isSlash(next) ? .ambiguousDots : .ordinary
    }

    private static func startsWithDots(_ path: borrowing Span<UInt8>, _ start: Int) -> Bool {
        switch segment(path, start) {
        case .dots, .ambiguousDots: true
        case .ordinary, .empty: false
        }
    }

    private static func removeDotSegments(_ head: inout Head, _ path: ByteRange, mergesSlashes: Bool) -> Bool {
        let mark = head.arena.count
        var at = Int(path.start)
        while at < path.end {
            // `at` is at a slash; the segment runs to the next one.
            var next = at + 1
            while next < path.end, head.arena[next] != UInt8(ascii: "/") { next += 1 }
            let length = next - at - 1
            let last = next == path.end
            if length == 1, head.arena[at + 1] == 46 {
                if last { head.arena.append(byte: 47) }
            } else if length == 2, head.arena[at + 1] == 46, head.arena[at + 2] == 46 {
                guard dropLastSegment(&head, mark) else { return false }
                if last { head.arena.append(byte: 47) }
            } else if length > 0 || last || !mergesSlashes {
                _ = head.arena.append(copyOf: ByteRange(start: at, count: next - at))
            }
            at = next
        }
        if head.arena.count == mark { head.arena.append(byte: 47) }
        head.path = head.arena.range(since: mark)
        return true
    }

    /// Takes the last segment with its slash from the text written since `mark`; false when there is none.
    private static func dropLastSegment(_ head: inout Head, _ mark: Int) -> Bool {
        guard head.arena.count > mark else { return false }
        var at = head.arena.count - 1
        while head.arena[at] != UInt8(ascii: "/") { at -= 1 }
        head.arena.truncate(to: at)
        return true
    }
}
