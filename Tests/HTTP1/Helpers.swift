import Buffers
import HTTP
import HTTP1

/// What became of a head, as values that can be compared.
struct ParsedHead: Equatable, CustomStringConvertible {
    var consumed = 0
    var failure: ErrorKind?
    var line: [String] = []
    var fields: [[String]] = []
    var body = BodyLength.none
    var flags: [Bool] = []

    var description: String { "\(failure.map { "\($0)" } ?? "ok") \(consumed) \(line) \(fields) \(body) \(flags)" }

    static func incomplete() -> ParsedHead? { nil }
}

extension String {
    /// The text's bytes, with `\u{80}` and above as one byte each.
    var latin1: [UInt8] { unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) } }
}

func describe(_ head: borrowing Head) -> ([String], [[String]]) {
    let line = [
        head.text(head.methodName), "\(head.method)", head.text(head.authority), head.text(head.path),
        head.hasQuery ? "?" + head.text(head.query) : "", "\(head.version)", "\(head.status)", head.text(head.reason),
    ]
    var fields: [[String]] = []
    for field in head.fields { fields.append([head.text(field.name), head.text(field.value), "\(field.id)"]) }
    return (line, fields)
}

/// Feeds the input in pieces that end at `cuts` (and at its end), as a connection would. Nil: more was asked for.
func parseRequest(
    _ bytes: [UInt8], cuts: [Int] = [], limits: HeadLimits = HeadLimits(), allowsConnect: Bool = false
) -> ParsedHead? {
    var parser = RequestParser(limits: limits, allowsConnect: allowsConnect)
    var head = Head()
    for end in cuts + [bytes.count] {
        switch parser.parse(bytes.span.extracting(first: end), into: &head) {
        case .needMore: continue
        case .failed(let kind, _): return ParsedHead(failure: kind)
        case .complete(let consumed):
            let (line, fields) = describe(head)
            return ParsedHead(
                consumed: consumed, line: line, fields: fields, body: head.body,
                flags: [parser.persistent, parser.expectsContinue, parser.wantsUpgrade])
        }
    }
    return nil
}

func parseResponse(_ bytes: [UInt8], cuts: [Int] = [], answering method: Method = .get, limits: HeadLimits = HeadLimits()) -> ParsedHead? {
    var parser = ResponseParser(limits: limits)
    var head = Head()
    for end in cuts + [bytes.count] {
        switch parser.parse(bytes.span.extracting(first: end), into: &head, answering: method) {
        case .needMore: continue
        case .failed(let kind, _): return ParsedHead(failure: kind)
        case .complete(let consumed):
            let (line, fields) = describe(head)
            return ParsedHead(consumed: consumed, line: line, fields: fields, body: head.body, flags: [parser.persistent])
        }
    }
    return nil
}

/// Runs a decoder as a connection does: pieces arrive at the cuts, and what a step says is dropped.
struct DecodedBody: Equatable {
    var body: [UInt8] = []
    var trailers: [[String]] = []
    /// Bytes that belonged to the body, framing included; nil when it did not end.
    var consumed: Int?
    var failed = false
}

func decode(_ bytes: [UInt8], as length: BodyLength, cuts: [Int] = []) -> DecodedBody {
    var decoder = BodyDecoder(length)
    var trailers = Head()
    var result = DecodedBody()
    var start = 0
    for end in cuts + [bytes.count] {
        feeding: while true {
            let unread = bytes.span.extracting(start..<end)
            switch decoder.next(unread, trailers: &trailers) {
            case .data(let skip, let count):
                result.body += unread.extracting(skip..<skip + count).array()
                start += skip + count
            case .needMore(let consumed):
                start += consumed
                break feeding
            case .end(let consumed):
                result.consumed = start + consumed
                result.trailers = describe(trailers).1.map { Array($0.prefix(2)) }
                return result
            case .failed:
                result.failed = true
                return result
            }
        }
    }
    return result
}

/// Everything an output buffer holds.
func written(_ output: inout OutputBuffer) -> [UInt8] {
    var bytes: [UInt8] = []
    while !output.isEmpty {
        let part = output.chain.firstBytes.array()
        bytes += part
        output.dropFirst(part.count)
    }
    return bytes
}

/// A small reproducible generator (SplitMix64).
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
