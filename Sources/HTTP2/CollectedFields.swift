import Buffers
import CNghttp2

/// The fields of the request head that is being decoded, as `name: value CRLF` one behind the other.
///
/// nghttp2 gives them one at a time. Here they cost a copy each and nothing else: no reference is counted and no access checked
/// until the head is whole. The lines then go into the request's arena in one piece, and leave it as one for an HTTP/1.1 origin.
/// Between heads there is no room for any: it would be a tenth of what an idle connection takes.
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
    /// One block: lengths of name and value in pairs, and the text behind them. Nil between heads.
    private var lengths: UnsafeMutablePointer<UInt32>?
    /// Numbers that there is room for, and bytes of text; without a block: that the next head gets.
    private var lengthsRoom = CollectedFields.usualLengths
    private var room = CollectedFields.usualRoom
    private var used = 0

    init(_ limits: HTTP2Limits) {
        listBytes = limits.headerListBytes
        mostFields = limits.headerFields
        // SAFETY: no block yet.
        unsafe lengths = nil
    }

    deinit {
        // SAFETY: taken by `begin` or `grow`, and not given back.
        unsafe sluice_nghttp2_give(lengths)
    }

    mutating func begin() {
        // SAFETY: given back by `end`, `grow` or deinit. A head that broke off may have left it.
        if unsafe lengths == nil { unsafe lengths = CollectedFields.take(lengthsRoom, room) }
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
        guard let lengths = unsafe lengths else { return false }
        // SAFETY: `length` bytes are free behind `used`; name and value are nghttp2's and as long as it says.
        let line = unsafe text(lengths) + used
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

    /// The head is whole and taken. The next one gets as much room, except after an unusual one.
    mutating func end() {
        isOpen = false
        // SAFETY: nothing refers to it any more.
        unsafe sluice_nghttp2_give(lengths)
        unsafe lengths = nil
        guard room > CollectedFields.mostRoom || lengthsRoom > CollectedFields.mostLengths else { return }
        room = CollectedFields.usualRoom
        lengthsRoom = CollectedFields.usualLengths
    }

    // A usual block is 2 KiB, and the most that is asked for again without need 8 KiB: blocks of up to that size are kept for the
    // next head, here or on another connection.
    private static var usualLengths: Int { 64 }
    private static var usualRoom: Int { 2_048 - 4 * usualLengths }
    private static var mostLengths: Int { 256 }
    private static var mostRoom: Int { 4 * usualRoom }

    private static func take(_ lengths: Int, _ text: Int) -> UnsafeMutablePointer<UInt32> {
        // SAFETY: as large as asked for, and aligned for anything.
        guard let memory = unsafe sluice_nghttp2_take(4 * lengths + text) else { preconditionFailure("no memory for a head") }
        return unsafe memory.assumingMemoryBound(to: UInt32.self)
    }

    @inline(__always)
    private func text(_ block: UnsafeMutablePointer<UInt32>) -> UnsafeMutablePointer<UInt8> {
        // SAFETY: the text's room lies behind the lengths'.
        unsafe UnsafeMutableRawPointer(block + lengthsRoom).assumingMemoryBound(to: UInt8.self)
    }

    private mutating func grow(by length: Int) {
        guard let old = unsafe lengths else { return }
        var larger = room
        while used + length > larger { larger *= 2 }
        let more = count * 2 + 2 > lengthsRoom ? lengthsRoom * 2 : lengthsRoom
        // SAFETY: `count` pairs and `used` bytes are initialised, and fit.
        let fresh = unsafe CollectedFields.take(more, larger)
        unsafe fresh.update(from: old, count: count * 2)
        unsafe UnsafeMutableRawPointer(fresh + more).copyMemory(from: text(old), byteCount: used)
        unsafe sluice_nghttp2_give(old)
        unsafe lengths = fresh
        lengthsRoom = more
        room = larger
    }

    /// All lines.
    var lines: Span<UInt8> {
        @_lifetime(borrow self)
        borrowing get {
            // SAFETY: `used` bytes of the block's text are initialised, and stay as they are while this is borrowed.
            guard let lengths = unsafe lengths else { return Span() }
            let span = unsafe Span(_unsafeStart: UnsafePointer(text(lengths)), count: used)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// Lengths of name and value of a field.
    @inline(__always)
    borrowing func lengths(of index: Int) -> (name: Int, value: Int) {
        guard index >= 0 && index < count, let lengths = unsafe lengths else { preconditionFailure("a field that was not collected") }
        // SAFETY: just checked.
        return unsafe (Int(lengths[index * 2]), Int(lengths[index * 2 + 1]))
    }
}
