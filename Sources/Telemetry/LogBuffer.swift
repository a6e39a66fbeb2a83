/// Whole log lines that wait to be written.
///
/// Bounded: when a line does not fit, that line is dropped and counted, and nothing waits.
/// The write itself belongs to the room that owns descriptors.
public struct LogBuffer: ~Copyable {
    private var storage: [UInt8]
    private var start = 0
    private var end = 0

    /// Lines that did not fit, since the beginning.
    public private(set) var dropped = 0
    /// Lines taken, since the beginning.
    public private(set) var lines = 0

    /// - Parameter limit: bytes kept at most; a line longer than this is always dropped.
    public init(limit: Int = 256 * 1024) {
        storage = Array(repeating: 0, count: max(limit, 1024))
    }

    public var isEmpty: Bool { start == end }
    public var byteCount: Int { end - start }

    /// What waits, oldest first.
    public var bytes: Span<UInt8> { storage.span.extracting(start..<end) }

    /// Takes a line (its line feed included). False when it was dropped.
    @discardableResult
    public mutating func append(_ line: borrowing Span<UInt8>) -> Bool {
        if line.count > storage.count - end { compact() }
        guard line.count <= storage.count - end else {
            dropped += 1
            return false
        }
        let at = end
        var out = storage.mutableSpan
        for index in 0..<line.count { out[at + index] = line[index] }
        end += line.count
        lines += 1
        return true
    }

    /// Forgets the first `count` bytes: they were written.
    public mutating func consume(_ count: Int) {
        start += min(count, end - start)
        if start == end {
            start = 0
            end = 0
        }
    }

    /// Forgets everything because it cannot be written (disk full); counts the lines as dropped.
    public mutating func discard() {
        for index in start..<end where storage[index] == 0x0A { dropped += 1 }
        start = 0
        end = 0
    }

    /// Where to cut so that at most `limit` bytes of whole lines are written at once.
    /// A first line longer than `limit` is given whole.
    public func wholeLines(within limit: Int) -> Int {
        var last = 0
        for index in start..<end where storage[index] == 0x0A {
            let length = index - start + 1
            if length > limit { return last == 0 ? length : last }
            last = length
        }
        return last == 0 ? end - start : last
    }

    private mutating func compact() {
        guard start > 0 else { return }
        let range = start..<end
        var out = storage.mutableSpan
        for index in range { out[index - range.lowerBound] = out[index] }
        end -= start
        start = 0
    }
}
