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
    private var text: UnsafeMutablePointer<UInt8>
    private var room = CollectedFields.usualRoom
    private var used = 0
    /// Lengths of name and value, in pairs.
    private var lengths: UnsafeMutablePointer<UInt32>
    private var lengthsRoom = 64

    init(_ limits: HTTP2Limits) {
        listBytes = limits.headerListBytes
        mostFields = limits.headerFields
        // SAFETY: both are freed in deinit or replaced by `grow`.
        unsafe text = .allocate(capacity: room)
        unsafe lengths = .allocate(capacity: lengthsRoom)
    }

    deinit {
        unsafe text.deallocate()
        unsafe lengths.deallocate()
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
        if used &+ length > room || count &* 2 &+ 2 > lengthsRoom { grow(by: length) }
        // SAFETY: `length` bytes are free behind `used`; name and value are nghttp2's and as long as it says.
        let line = unsafe text + used
        unsafe UnsafeMutableRawPointer(line).copyMemory(from: name, byteCount: nameCount)
        unsafe line[nameCount] = UInt8(ascii: ":")
        unsafe line[nameCount &+ 1] = UInt8(ascii: " ")
        unsafe UnsafeMutableRawPointer(line + nameCount + 2).copyMemory(from: value, byteCount: valueCount)
        unsafe line[length &- 2] = UInt8(ascii: "\r")
        unsafe line[length &- 1] = UInt8(ascii: "\n")
        unsafe lengths[count &* 2] = UInt32(truncatingIfNeeded: nameCount)
        unsafe lengths[count &* 2 &+ 1] = UInt32(truncatingIfNeeded: valueCount)
        used &+= length
        count &+= 1
        return true
    }

    /// The head is whole and taken. What an unusual one needed is given back.
    mutating func end() {
        isOpen = false
        guard room > CollectedFields.keptRoom else { return }
        // SAFETY: nothing refers to the text any more.
        unsafe text.deallocate()
        room = CollectedFields.usualRoom
        unsafe text = .allocate(capacity: room)
    }

    private static var usualRoom: Int { 2_048 }
    private static var keptRoom: Int { 8_192 }

    private mutating func grow(by length: Int) {
        var larger = room
        while used + length > larger { larger *= 2 }
        if larger > room {
            // SAFETY: `used` bytes are initialised and fit.
            let fresh = UnsafeMutablePointer<UInt8>.allocate(capacity: larger)
            unsafe fresh.update(from: text, count: used)
            unsafe text.deallocate()
            unsafe text = fresh
            room = larger
        }
        guard count * 2 + 2 > lengthsRoom else { return }
        // SAFETY: `count` pairs are initialised and fit.
        let fresh = UnsafeMutablePointer<UInt32>.allocate(capacity: lengthsRoom * 2)
        unsafe fresh.update(from: lengths, count: count * 2)
        unsafe lengths.deallocate()
        unsafe lengths = fresh
        lengthsRoom *= 2
    }

    /// All lines.
    var lines: Span<UInt8> {
        @_lifetime(borrow self)
        borrowing get {
            // SAFETY: `used` bytes are initialised, and stay as they are while this is borrowed.
            let span = unsafe Span(_unsafeStart: UnsafePointer(text), count: used)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// Lengths of name and value of a field.
    @inline(__always)
    borrowing func lengths(of index: Int) -> (name: Int, value: Int) {
        precondition(index >= 0 && index < count)
        // SAFETY: just checked.
        return unsafe (Int(lengths[index * 2]), Int(lengths[index * 2 + 1]))
    }
}
