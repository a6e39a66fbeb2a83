/// Builds one JSON line into a buffer that is used again for the next.
///
/// Strings may be arbitrary bytes. Control bytes, quotes and backslashes are escaped; valid UTF-8
/// passes; a byte that is not part of valid UTF-8 becomes `\u00XX` of its own value (as if it were
/// Latin-1), so that a line is always valid JSON, always UTF-8, and harmless to a terminal.
/// Nothing is allocated once the buffer is as large as the longest line.
public struct JSONLineWriter: ~Copyable {
    private var buffer: [UInt8]
    private var count = 0
    private var needsComma = false

    public init(capacity: Int = 1024) {
        buffer = Array(repeating: 0, count: max(capacity, 64))
    }

    /// The bytes written since the last `reset`.
    public var bytes: Span<UInt8> { buffer.span.extracting(first: count) }

    public mutating func reset() {
        count = 0
        needsComma = false
    }

    // MARK: Structure

    public mutating func beginObject() { open(0x7B) }
    public mutating func endObject() { close(0x7D) }
    public mutating func beginArray() { open(0x5B) }
    public mutating func endArray() { close(0x5D) }

    public mutating func beginObject(_ key: String) {
        self.key(key)
        beginObject()
    }

    public mutating func beginArray(_ key: String) {
        self.key(key)
        beginArray()
    }

    public mutating func key(_ key: String) {
        string(key)
        raw(0x3A)
        needsComma = false
    }

    public mutating func endLine() {
        raw(0x0A)
        needsComma = false
    }

    // MARK: Values

    public mutating func string(_ value: borrowing Span<UInt8>) {
        comma()
        quoted(value)
        needsComma = true
    }

    public mutating func string(_ value: String) {
        string(value.utf8Span.span)
    }

    public mutating func number(_ value: Int) {
        comma()
        if value < 0 { raw(0x2D) }
        decimal(value.magnitude)
        needsComma = true
    }

    public mutating func number(_ value: UInt64) {
        comma()
        decimal(UInt(value))
        needsComma = true
    }

    /// Microseconds written as milliseconds with three decimals: 1234567 is `1234.567`.
    public mutating func milliseconds(fromMicroseconds value: UInt64) {
        comma()
        decimal(UInt(value / 1000))
        let rest = Int(value % 1000)
        raw(0x2E)
        raw(UInt8(0x30 + rest / 100))
        raw(UInt8(0x30 + rest / 10 % 10))
        raw(UInt8(0x30 + rest % 10))
        needsComma = true
    }

    public mutating func bool(_ value: Bool) {
        comma()
        rawText(value ? "true" : "false")
        needsComma = true
    }

    public mutating func null() {
        comma()
        rawText("null")
        needsComma = true
    }

    // MARK: Fields

    public mutating func field(_ key: String, _ value: borrowing Span<UInt8>) {
        self.key(key)
        string(value)
    }

    public mutating func field(_ key: String, _ value: String) {
        self.key(key)
        string(value)
    }

    public mutating func field(_ key: String, _ value: Int) {
        self.key(key)
        number(value)
    }

    public mutating func field(_ key: String, _ value: UInt64) {
        self.key(key)
        number(value)
    }

    public mutating func field(_ key: String, _ value: Bool) {
        self.key(key)
        bool(value)
    }

    // MARK: Bytes

    private mutating func open(_ byte: UInt8) {
        comma()
        raw(byte)
        needsComma = false
    }

    private mutating func close(_ byte: UInt8) {
        raw(byte)
        needsComma = true
    }

    private mutating func comma() {
        if needsComma { raw(0x2C) }
    }

    private mutating func reserve(_ extra: Int) {
        if count + extra <= buffer.count { return }
        let wanted = max(buffer.count * 2, count + extra)
        buffer.append(contentsOf: repeatElement(0, count: wanted - buffer.count))
    }

    private mutating func raw(_ byte: UInt8) {
        reserve(1)
        buffer[count] = byte
        count += 1
    }

    private mutating func rawText(_ text: String) {
        for byte in text.utf8 { raw(byte) }
    }

    private mutating func decimal(_ value: UInt) {
        reserve(20)
        var divisor: UInt = 1
        while value / divisor >= 10 { divisor *= 10 }
        var rest = value
        while divisor > 0 {
            buffer[count] = UInt8(0x30 + rest / divisor)
            count += 1
            rest %= divisor
            divisor /= 10
        }
    }

    private mutating func quoted(_ value: borrowing Span<UInt8>) {
        // Six bytes (\u00XX) is the most that one byte can become.
        reserve(value.count * 6 + 2)
        var at = count
        do {
            var out = buffer.mutableSpan
            out[at] = 0x22
            at += 1
            var index = 0
            while index < value.count {
                let byte = value[index]
                if byte >= 0x20 && byte < 0x7F && byte != 0x22 && byte != 0x5C {
                    out[at] = byte
                    at += 1
                    index += 1
                    continue
                }
                let length = byte < 0x80 ? 0 : UTF8Sequence.length(value, at: index)
                if length > 0 {
                    for offset in 0..<length { out[at + offset] = value[index + offset] }
                    at += length
                    index += length
                } else {
                    at = JSONLineWriter.escape(byte, into: &out, at: at)
                    index += 1
                }
            }
            out[at] = 0x22
        }
        count = at + 1
    }

    private static func escape(_ byte: UInt8, into out: inout MutableSpan<UInt8>, at start: Int) -> Int {
        out[start] = 0x5C
        let short: UInt8
        switch byte {
        case 0x22, 0x5C: short = byte
        case 0x08: short = 0x62
        case 0x09: short = 0x74
        case 0x0A: short = 0x6E
        case 0x0C: short = 0x66
        case 0x0D: short = 0x72
        default:
            out[start + 1] = 0x75
            out[start + 2] = 0x30
            out[start + 3] = 0x30
            out[start + 4] = hex(byte >> 4)
            out[start + 5] = hex(byte & 15)
            return start + 6
        }
        out[start + 1] = short
        return start + 2
    }

    private static func hex(_ digit: UInt8) -> UInt8 { digit < 10 ? 0x30 + digit : 0x57 + digit }
}

/// Well-formed UTF-8 by table 3-7 of the Unicode standard.
enum UTF8Sequence {
    /// Length of the multi-byte sequence that starts at `index`, or 0 when there is no valid one.
    /// U+0080 to U+009F count as invalid: they are control characters that terminals obey.
    static func length(_ bytes: borrowing Span<UInt8>, at index: Int) -> Int {
        let first = bytes[index]
        let length: Int
        var low: UInt8 = 0x80
        var high: UInt8 = 0xBF
        switch first {
        case 0xC2:
            length = 2
            low = 0xA0
        case 0xC3...0xDF: length = 2
        case 0xE0:
            length = 3
            low = 0xA0
        case 0xED:
            length = 3
            high = 0x9F
        case 0xE1...0xEF: length = 3
        case 0xF0:
            length = 4
            low = 0x90
        case 0xF4:
            length = 4
            high = 0x8F
        case 0xF1...0xF3: length = 4
        default: return 0
        }
        guard index + length <= bytes.count else { return 0 }
        guard bytes[index + 1] >= low, bytes[index + 1] <= high else { return 0 }
        for offset in 2..<max(length, 2) where bytes[index + offset] & 0xC0 != 0x80 { return 0 }
        return length
    }
}
