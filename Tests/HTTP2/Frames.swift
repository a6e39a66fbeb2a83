/// One HTTP/2 frame as tests build and read it (RFC 9113 section 4.1).
struct Frame: Equatable {
    enum Kind {
        static let data: UInt8 = 0
        static let headers: UInt8 = 1
        static let priority: UInt8 = 2
        static let reset: UInt8 = 3
        static let settings: UInt8 = 4
        static let pushPromise: UInt8 = 5
        static let ping: UInt8 = 6
        static let goAway: UInt8 = 7
        static let windowUpdate: UInt8 = 8
        static let continuation: UInt8 = 9
    }

    static let endStream: UInt8 = 1
    static let endHeaders: UInt8 = 4

    var type: UInt8
    var flags: UInt8 = 0
    var stream: UInt32
    var payload: [UInt8] = []

    var bytes: [UInt8] {
        let length = payload.count
        return [UInt8(length >> 16 & 255), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags] + big(stream) + payload
    }

    var ends: Bool { flags & Frame.endStream != 0 }
    /// The error code of RST_STREAM (at 0) or GOAWAY (at 4).
    var code: UInt32 { number(type == Kind.goAway ? 4 : 0) }

    func number(_ at: Int) -> UInt32 { payload[at..<(at + 4)].reduce(0) { $0 << 8 | UInt32($1) } }

    static func data(_ stream: UInt32, _ payload: [UInt8], end: Bool = false) -> Frame {
        Frame(type: Kind.data, flags: end ? endStream : 0, stream: stream, payload: payload)
    }

    static func headers(_ stream: UInt32, _ fields: [(String, String)], end: Bool = true) -> Frame {
        Frame(type: Kind.headers, flags: endHeaders | (end ? endStream : 0), stream: stream, payload: block(fields))
    }

    static func reset(_ stream: UInt32, _ code: UInt32 = 8) -> Frame {
        Frame(type: Kind.reset, stream: stream, payload: big(code))
    }

    static func windowUpdate(_ stream: UInt32, _ increment: UInt32) -> Frame {
        Frame(type: Kind.windowUpdate, stream: stream, payload: big(increment))
    }

    static func settings(_ entries: [(UInt16, UInt32)] = []) -> Frame {
        Frame(type: Kind.settings, stream: 0, payload: entries.flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] + big($1) })
    }

    static func ping() -> Frame { Frame(type: Kind.ping, stream: 0, payload: Array(repeating: 7, count: 8)) }

    /// A GET, with fields added or pseudo-fields replaced.
    static func get(_ stream: UInt32, _ fields: [(String, String)] = [], path: String = "/", end: Bool = true) -> Frame {
        headers(stream, request(fields, path: path), end: end)
    }

    static func post(_ stream: UInt32, _ fields: [(String, String)] = []) -> Frame {
        headers(stream, request(fields, method: "POST", path: "/"), end: false)
    }

    static func request(_ fields: [(String, String)], method: String = "GET", path: String) -> [(String, String)] {
        [(":method", method), (":scheme", "https"), (":authority", "example.test"), (":path", path)] + fields
    }

    /// Literals without indexing and without Huffman coding (RFC 7541 section 6.2.2).
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { [0] + string($0) + string($1) }
    }

    private static func string(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        guard bytes.count >= 127 else { return [UInt8(bytes.count)] + bytes }
        var length: [UInt8] = [127]
        var rest = bytes.count - 127
        while rest >= 128 {
            length.append(UInt8(rest & 127 | 128))
            rest >>= 7
        }
        return length + [UInt8(rest)] + bytes
    }

    /// Splits what a session wrote.
    static func parse(_ bytes: [UInt8]) -> [Frame] {
        var frames: [Frame] = []
        var at = 0
        while at + 9 <= bytes.count {
            let length = Int(bytes[at]) << 16 | Int(bytes[at + 1]) << 8 | Int(bytes[at + 2])
            let stream = bytes[(at + 5)..<(at + 9)].reduce(0) { $0 << 8 | UInt32($1) }
            let payload = Array(bytes[(at + 9)..<(at + 9 + length)])
            frames.append(Frame(type: bytes[at + 3], flags: bytes[at + 4], stream: stream, payload: payload))
            at += 9 + length
        }
        return frames
    }
}

func big(_ number: UInt32) -> [UInt8] {
    [UInt8(number >> 24), UInt8(number >> 16 & 255), UInt8(number >> 8 & 255), UInt8(number & 255)]
}

let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
