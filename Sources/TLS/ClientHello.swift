import COpenSSL

/// A ClientHello as it came (RFC 8446 section 4.1.2), read for its fingerprint. OpenSSL has accepted it already; nothing here
/// trusts its lengths all the same.
struct ClientHello: Equatable {
    var ciphers: [UInt16] = []
    var extensions: [UInt16] = []
    var signatureAlgorithms: [UInt16] = []
    var versions: [UInt16] = []
    var firstProtocol: [UInt8] = []
    private var legacyVersion: UInt16 = 0

    /// - Parameter message: the handshake message with its header of four bytes; nil when it ends early.
    init?(_ message: [UInt8]) {
        var reader = HelloReader(message[...])
        guard reader.number8() == 1, let length = reader.number24(), length <= message.count - 4, let version = reader.number16(),
            reader.skip(32), reader.block8() != nil, let ciphers = reader.block16(), reader.block8() != nil
        else { return nil }
        legacyVersion = version
        self.ciphers = HelloReader.list(ciphers)
        guard let block = reader.block16() else { return }
        var extensions = HelloReader(block)
        while let type = extensions.number16() {
            guard let content = extensions.block16() else { return nil }
            self.extensions.append(type)
            take(type, content)
        }
    }

    private mutating func take(_ type: UInt16, _ content: ArraySlice<UInt8>) {
        var reader = HelloReader(content)
        switch type {
        case 0x000d: signatureAlgorithms = reader.block16().map { HelloReader.list($0) } ?? []
        case 0x0010:
            guard let names = reader.block16() else { return }
            var list = HelloReader(names)
            firstProtocol = list.block8().map { Array($0) } ?? []
        case 0x002b: versions = reader.block8().map { HelloReader.list($0) } ?? []
        default: break
        }
    }

    // MARK: JA4

    /// The JA4 fingerprint of a client over TCP (github.com/FoxIO-LLC/ja4, technical details of JA4). Made for each handshake, so
    /// of bytes in two arrays.
    var ja4: String {
        var ciphers = self.ciphers.filter { !Self.isGrease($0) }
        var extensions = self.extensions.filter { !Self.isGrease($0) }
        var text: [UInt8] = []
        text.reserveCapacity(6 * (ciphers.count + extensions.count + signatureAlgorithms.count) + 8)
        var result: [UInt8] = []
        result.reserveCapacity(40)
        result.append(UInt8(ascii: "t"))
        result += version.utf8
        result.append(UInt8(ascii: extensions.contains(0x0000) ? "d" : "i"))
        Self.append(count: ciphers.count, to: &result)
        Self.append(count: extensions.count, to: &result)
        result += alpn.utf8
        ciphers.sort()
        Self.append(ciphers, to: &text)
        Self.append(digestOf: text, to: &result)
        extensions.removeAll { $0 == 0x0000 || $0 == 0x0010 }
        extensions.sort()
        text.removeAll(keepingCapacity: true)
        Self.append(extensions, to: &text)
        let algorithms = signatureAlgorithms.filter { !Self.isGrease($0) }
        if !text.isEmpty, !algorithms.isEmpty {
            text.append(UInt8(ascii: "_"))
            Self.append(algorithms, to: &text)
        }
        Self.append(digestOf: text, to: &result)
        return String(decoding: result, as: UTF8.self)
    }

    private var version: String {
        switch versions.filter({ !Self.isGrease($0) }).max() ?? legacyVersion {
        case 0x0304: "13"
        case 0x0303: "12"
        case 0x0302: "11"
        case 0x0301: "10"
        case 0x0300: "s3"
        default: "00"
        }
    }

    /// First and last character of the first protocol; hexadecimal digits when they are none of letters and digits.
    private var alpn: String {
        guard let first = firstProtocol.first, let last = firstProtocol.last else { return "00" }
        if Self.isAlphanumeric(first), Self.isAlphanumeric(last) { return String(decoding: [first, last], as: UTF8.self) }
        return String(first >> 4, radix: 16) + String(last & 15, radix: 16)
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool { byte &- 48 < 10 || (byte | 0x20) &- 97 < 26 }

    /// Values that clients send to keep servers tolerant (RFC 8701): they differ from one handshake to the next.
    private static func isGrease(_ value: UInt16) -> Bool { value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff }

    private static func append(count: Int, to text: inout [UInt8]) {
        let shown = UInt8(min(count, 99))
        text.append(48 + shown / 10)
        text.append(48 + shown % 10)
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 48 + value : 87 + value }

    private static func append(hexadecimal byte: UInt8, to text: inout [UInt8]) {
        text.append(digit(byte >> 4))
        text.append(digit(byte & 15))
    }

    private static func append(_ values: [UInt16], to text: inout [UInt8]) {
        for (index, value) in values.enumerated() {
            if index > 0 { text.append(UInt8(ascii: ",")) }
            append(hexadecimal: UInt8(value >> 8), to: &text)
            append(hexadecimal: UInt8(value & 0xff), to: &text)
        }
    }

    /// A line and the first twelve digits of SHA-256; zeros for nothing.
    private static func append(digestOf text: [UInt8], to result: inout [UInt8]) {
        result.append(UInt8(ascii: "_"))
        guard !text.isEmpty else { return result += Array("000000000000".utf8) }
        var size: UInt32 = 0
        let digest = unsafe [UInt8](unsafeUninitializedCapacity: Int(EVP_MAX_MD_SIZE)) { room, filled in
            // SAFETY: OpenSSL reads `count` bytes of the text and writes at most EVP_MAX_MD_SIZE.
            let done = unsafe EVP_Digest(text, text.count, room.baseAddress, &size, sluice_sha256(), nil)
            filled = done == 1 ? Int(size) : 0
        }
        for byte in digest.prefix(6) { append(hexadecimal: byte, to: &result) }
    }
}

/// Reads numbers and blocks with a length before them; nil at the end.
private struct HelloReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    mutating func number8() -> UInt8? { rest.popFirst() }

    mutating func number16() -> UInt16? {
        guard rest.count >= 2, let high = rest.popFirst(), let low = rest.popFirst() else { return nil }
        return UInt16(high) << 8 | UInt16(low)
    }

    mutating func number24() -> Int? {
        guard let high = number8(), let low = number16() else { return nil }
        return Int(high) << 16 | Int(low)
    }

    mutating func skip(_ count: Int) -> Bool {
        guard rest.count >= count else { return false }
        rest = rest.dropFirst(count)
        return true
    }

    mutating func block8() -> ArraySlice<UInt8>? { number8().flatMap { take(Int($0)) } }
    mutating func block16() -> ArraySlice<UInt8>? { number16().flatMap { take(Int($0)) } }

    private mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
        guard rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    static func list(_ block: ArraySlice<UInt8>) -> [UInt16] {
        var reader = HelloReader(block)
        var values: [UInt16] = []
        while let value = reader.number16() { values.append(value) }
        return values
    }
}
