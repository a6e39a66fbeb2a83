import Buffers

/// The fields of the request head that is being decoded, as `name: value CRLF` one behind the other.
///
/// nghttp2 gives them one at a time. Here they cost a copy each and nothing else: no reference is counted and no access checked
/// until the head is whole. The lines then go into the request's arena in one piece, and leave it as one for an HTTP/1.1 origin.
@safe struct CollectedFields: ~Copyable {
    private(set) var count = 0
    /// False while what is decoded is no request's head, or that of a refused one.
    var isOpen = false
    /// A field was left out, because the head is beyond the limits.
    private(set) var isTooLarge = false

    private let listBytes: Int
    private let mostFields: Int
    /// Decoded size: name, value and 32 per field (RFC 9113 section 6.5.2), and number of fields.
    private var bytes = 0
    private var seen = 0
    private var text = GrowingRoom<UInt8>(CollectedFields.usualText)
    private var used = 0
    /// Lengths of name and value, in pairs.
    private var lengths = GrowingRoom<UInt32>(CollectedFields.usualLengths)

    init(_ limits: HTTP2Limits) {
        listBytes = limits.headerListBytes
        mostFields = limits.headerFields
    }

    mutating func begin() {
        count = 0
        isOpen = true
        isTooLarge = false
        bytes = 0
        seen = 0
        used = 0
    }

    /// Takes one field. False: the head is far beyond the limits.
    @inline(__always)
    mutating func add(_ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int) -> Bool {
        bytes &+= nameCount &+ valueCount &+ 32
        seen &+= 1
        // A head beyond the limit is still decoded, to keep the compression state, but not stored. Pseudo-fields come on top.
        if bytes > listBytes || seen > mostFields &+ 4 {
            isTooLarge = true
            return bytes <= 4 &* listBytes && seen <= 4 &* mostFields
        }
        let length = nameCount &+ valueCount &+ 4
        if used &+ length > text.room { text.grow(to: used &+ length, keeping: used) }
        if count &* 2 &+ 2 > lengths.room { lengths.grow(to: count &* 2 &+ 2, keeping: count &* 2) }
        // SAFETY: `length` bytes are free behind `used`; name and value are nghttp2's and as long as it says.
        let line = unsafe text.base + used
        unsafe UnsafeMutableRawPointer(line).copyMemory(from: name, byteCount: nameCount)
        unsafe line[nameCount] = UInt8(ascii: ":")
        unsafe line[nameCount &+ 1] = UInt8(ascii: " ")
        unsafe UnsafeMutableRawPointer(line + nameCount + 2).copyMemory(from: value, byteCount: valueCount)
        unsafe line[length &- 2] = UInt8(ascii: "\r")
        unsafe line[length &- 1] = UInt8(ascii: "\n")
        unsafe lengths.base[count &* 2] = UInt32(truncatingIfNeeded: nameCount)
        unsafe lengths.base[count &* 2 &+ 1] = UInt32(truncatingIfNeeded: valueCount)
        used &+= length
        count &+= 1
        return true
    }

    /// The head is whole and taken. What an unusual one needed is given back.
    mutating func end() {
        isOpen = false
        if text.room > 4 * CollectedFields.usualText { text = GrowingRoom(CollectedFields.usualText) }
        if lengths.room > 4 * CollectedFields.usualLengths { lengths = GrowingRoom(CollectedFields.usualLengths) }
    }

    /// Bytes of text, and numbers, that nearly every head does with.
    private static var usualText: Int { 2_048 }
    private static var usualLengths: Int { 64 }

    /// All lines.
    var lines: Span<UInt8> {
        @_lifetime(borrow self)
        borrowing get {
            // SAFETY: `used` bytes are initialised, and stay as they are while this is borrowed.
            let span = unsafe Span(_unsafeStart: UnsafePointer(text.base), count: used)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// Lengths of name and value of a field.
    @inline(__always)
    borrowing func lengths(of index: Int) -> (name: Int, value: Int) {
        precondition(index >= 0 && index < count)
        // SAFETY: just checked.
        return unsafe (Int(lengths.base[index * 2]), Int(lengths.base[index * 2 + 1]))
    }
}

/// Memory that is written from its beginning on and grows by doubling; whoever writes knows how far it has come.
@safe private struct GrowingRoom<Element: BitwiseCopyable>: ~Copyable {
    private(set) var base: UnsafeMutablePointer<Element>
    private(set) var room: Int

    init(_ room: Int) {
        self.room = room
        // SAFETY: freed in deinit or replaced by `grow`.
        unsafe base = .allocate(capacity: room)
    }

    deinit {
        // SAFETY: allocated by init or grow.
        unsafe base.deallocate()
    }

    mutating func grow(to needed: Int, keeping used: Int) {
        while room < needed { room *= 2 }
        // SAFETY: `used` elements of the old memory are written and fit into the new one.
        let fresh = UnsafeMutablePointer<Element>.allocate(capacity: room)
        unsafe fresh.update(from: base, count: used)
        unsafe base.deallocate()
        unsafe base = fresh
    }
}
