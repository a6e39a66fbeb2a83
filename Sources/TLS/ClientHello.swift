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

    /// The JA4 fingerprint of a client over TCP (github.com/FoxIO-LLC/ja4, technical details of JA4).
    var ja4: String {
        let ciphers = self.ciphers.filter { !Self.isGrease($0) }
        let extensions = self.extensions.filter { !Self.isGrease($0) }
        let named = extensions.filter { $0 != 0x0000 && $0 != 0x0010 }.sorted()
        let algorithms = signatureAlgorithms.filter { !Self.isGrease($0) }
        let details = Self.list(named) + (algorithms.isEmpty ? "" : "_" + Self.list(algorithms))
        return "t" + version + (extensions.contains(0x0000) ? "d" : "i") + Self.count(ciphers) + Self.count(extensions) + alpn
            + "_" + Self.digest(Self.list(ciphers.sorted())) + "_" + (named.isEmpty ? Self.digest("") : Self.digest(details))
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

    private static func count(_ values: [UInt16]) -> String { values.count < 10 ? "0\(values.count)" : String(min(values.count, 99)) }

    private static func list(_ values: [UInt16]) -> String {
        values.map { value in
            let digits = String(value, radix: 16)
            return String(repeating: "0", count: 4 - digits.count) + digits
        }.joined(separator: ",")
    }

    /// The first twelve digits of SHA-256; zeros for nothing.
    private static func digest(_ text: String) -> String {
        guard !text.isEmpty else { return "000000000000" }
        let bytes = Array(text.utf8)
        var size: UInt32 = 0
        let digest = unsafe [UInt8](unsafeUninitializedCapacity: Int(EVP_MAX_MD_SIZE)) { room, filled in
            // SAFETY: OpenSSL reads `count` bytes of the text and writes at most EVP_MAX_MD_SIZE.
            let done = unsafe EVP_Digest(bytes, bytes.count, room.baseAddress, &size, EVP_sha256(), nil)
            filled = done == 1 ? Int(size) : 0
        }
        return digest.prefix(6).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
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
