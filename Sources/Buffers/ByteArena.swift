/// A range of bytes in a `ByteArena`.
public struct ByteRange: Sendable, Equatable {
    public var start: UInt32
    public var count: UInt32

    @inline(__always)
    public init(start: Int, count: Int) {
        self.start = UInt32(truncatingIfNeeded: start)
        self.count = UInt32(truncatingIfNeeded: count)
    }

    public static let empty = ByteRange(start: 0, count: 0)
    public var isEmpty: Bool { count == 0 }
    public var end: Int { Int(start) + Int(count) }

    /// The part of this range that begins `offset` bytes in. Clamped to the range.
    public func dropFirst(_ offset: Int) -> ByteRange {
        let skipped = min(max(offset, 0), Int(count))
        return ByteRange(start: Int(start) + skipped, count: Int(count) - skipped)
    }

    public func prefix(_ length: Int) -> ByteRange {
        ByteRange(start: Int(start), count: min(max(length, 0), Int(count)))
    }
}

/// Growing memory that one message's text lives in: the received head, and what rules and hooks add.
///
/// Ranges stay valid until `removeAll`; replaced text is not reclaimed before. The memory is kept
/// between messages, so a warm arena allocates nothing.
@safe public struct ByteArena: ~Copyable {
    private var base: UnsafeMutablePointer<UInt8>
    private var capacity: Int
    public private(set) var count = 0

    public init(capacity: Int = 1024) {
        self.capacity = max(capacity, 64)
        // SAFETY: freed in deinit or replaced by grow.
        unsafe base = .allocate(capacity: self.capacity)
    }

    deinit {
        // SAFETY: allocated by init or grow.
        unsafe base.deallocate()
    }

    /// Forgets all text. Memory beyond 64 KiB is given back.
    public mutating func removeAll() {
        count = 0
        if capacity > 65536 {
            // SAFETY: nothing refers to the old memory: ranges are integers.
            unsafe base.deallocate()
            capacity = 1024
            unsafe base = .allocate(capacity: capacity)
        }
    }

    @inline(__always)
    public mutating func append(_ bytes: borrowing Span<UInt8>) -> ByteRange {
        let length = bytes.count
        if count &+ length > capacity { grow(count + length) }
        // SAFETY: capacity was just ensured; a span never overlaps free arena room.
        unsafe bytes.withUnsafeBufferPointer { source in
            guard let start = source.baseAddress else { return }
            unsafe UnsafeMutableRawPointer(base + count).copyMemory(from: start, byteCount: length)
        }
        let range = ByteRange(start: count, count: length)
        count &+= length
        return range
    }

    /// Appends `name: value CRLF`, as a field stands in a head: what is written to an HTTP/1.1 peer is then one piece with its
    /// neighbours.
    public mutating func append(line name: borrowing Span<UInt8>, _ value: borrowing Span<UInt8>) -> (name: ByteRange, value: ByteRange) {
        let colon = count &+ name.count
        let end = colon &+ 2 &+ value.count
        if end &+ 2 > capacity { grow(end + 2) }
        let start = count
        // SAFETY: everything up to `end + 2` was just ensured; spans never overlap free arena room.
        unsafe name.withUnsafeBufferPointer { source in
            if let from = source.baseAddress { unsafe UnsafeMutableRawPointer(base + start).copyMemory(from: from, byteCount: source.count) }
        }
        unsafe base[colon] = UInt8(ascii: ":")
        unsafe base[colon &+ 1] = UInt8(ascii: " ")
        unsafe value.withUnsafeBufferPointer { source in
            if let from = source.baseAddress { unsafe UnsafeMutableRawPointer(base + colon + 2).copyMemory(from: from, byteCount: source.count) }
        }
        unsafe base[end] = UInt8(ascii: "\r")
        unsafe base[end &+ 1] = UInt8(ascii: "\n")
        count = end &+ 2
        return (ByteRange(start: start, count: name.count), ByteRange(start: colon &+ 2, count: value.count))
    }

    /// The same with a value that is already here.
    public mutating func append(line name: borrowing Span<UInt8>, copyOf value: ByteRange) -> (name: ByteRange, value: ByteRange) {
        check(value)
        let length = name.count &+ Int(value.count) &+ 4
        if count &+ length > capacity { grow(count + length) }
        // SAFETY: `length` bytes were just ensured, and nothing moves while they are written: the value is read where it is now. The
        // name does not come from here: a span of this arena cannot be held while it changes.
        let held = unsafe Span(_unsafeStart: UnsafePointer(base) + Int(value.start), count: Int(value.count))
        return append(line: name, held)
    }

    public mutating func append(_ text: StaticString) -> ByteRange {
        // SAFETY: a static string's UTF-8 code units live for ever.
        append(unsafe Span(_unsafeStart: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Appends the UTF-8 form of `text`. For values made outside the data path.
    public mutating func append(_ text: String) -> ByteRange {
        var text = text
        return text.withUTF8 { utf8 in
            // SAFETY: the buffer is valid inside the closure.
            append(unsafe Span(_unsafeElements: utf8))
        }
    }

    public mutating func append(byte: UInt8) {
        if count == capacity { grow(count + 1) }
        // SAFETY: count < capacity.
        unsafe base[count] = byte
        count += 1
    }

    /// Appends up to `room` bytes that `fill` writes itself; it answers how many, or a negative number for none.
    /// - Returns: what `fill` answered.
    public mutating func append(upTo room: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Int) -> Int {
        if count + room > capacity { grow(count + room) }
        // SAFETY: `room` bytes behind `count` are ours; the buffer does not leave the closure.
        let filled = unsafe fill(UnsafeMutableRawBufferPointer(start: base + count, count: room))
        precondition(filled <= room)
        count += max(filled, 0)
        return filled
    }

    /// Appends a copy of text that is already here.
    public mutating func append(copyOf range: ByteRange) -> ByteRange {
        check(range)
        let length = Int(range.count)
        if count + length > capacity { grow(count + length) }
        // SAFETY: both ranges lie inside the arena and do not overlap: the target is unused room.
        unsafe (base + count).update(from: base + Int(range.start), count: length)
        let copy = ByteRange(start: count, count: length)
        count += length
        return copy
    }

    /// Forgets text from `length` on; ranges into it become invalid.
    public mutating func truncate(to length: Int) {
        precondition(length >= 0 && length <= count)
        count = length
    }

    /// A range over everything appended since `mark`, which was `count` at an earlier time.
    public func range(since mark: Int) -> ByteRange {
        precondition(mark >= 0 && mark <= count)
        return ByteRange(start: mark, count: count - mark)
    }

    public subscript(range: ByteRange) -> Span<UInt8> {
        @_lifetime(borrow self)
        borrowing get {
            check(range)
            // SAFETY: the range was just checked, and the memory lives while the arena is borrowed.
            let span = unsafe Span(_unsafeStart: base + Int(range.start), count: Int(range.count))
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    @inline(__always)
    public subscript(offset: Int) -> UInt8 {
        get {
            precondition(offset >= 0 && offset < count)
            // SAFETY: just checked.
            return unsafe base[offset]
        }
        set {
            precondition(offset >= 0 && offset < count)
            // SAFETY: just checked.
            unsafe base[offset] = newValue
        }
    }

    @inline(__always)
    private func check(_ range: ByteRange) { precondition(range.end <= count, "range outside its arena") }

    private mutating func grow(_ needed: Int) {
        var larger = capacity * 2
        while larger < needed { larger *= 2 }
        // SAFETY: `count` bytes of the old memory are initialised and fit into the new one.
        let new = UnsafeMutablePointer<UInt8>.allocate(capacity: larger)
        unsafe new.update(from: base, count: count)
        unsafe base.deallocate()
        unsafe base = new
        capacity = larger
    }
}
