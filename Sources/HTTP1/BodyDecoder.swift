import Buffers
public import HTTP

/// What comes next in a body.
public enum BodyStep: Sendable, Equatable {
    /// After `skip` bytes of framing the next `count` bytes are body.
    case data(skip: Int, count: Int)
    /// Drop `consumed` bytes, then read more.
    case needMore(consumed: Int)
    /// Drop `consumed` bytes; the body is complete.
    case end(consumed: Int)
    case failed(ErrorKind, String)
}

/// Finds body bytes in what a connection received (RFC 9112 sections 6 and 7).
///
/// The caller drops what a step says before it asks for the next. A line or trailer section that is not whole stays
/// unread; how far it was looked at is remembered.
public struct BodyDecoder {
    private enum State {
        case done
        case known(left: Int)
        case untilClose
        case chunkSize
        case chunkData(left: Int)
        case chunkEnd
        case trailers
    }

    /// Chunk extensions of one chunk line are dropped; longer ones are refused. Bytes.
    static let extensionLimit = 1024
    /// Framing beyond 16 bytes for each chunk and 2 for each byte of data, summed over a body. Received bytes stay in
    /// memory until the data between them has gone on, so framing without data would be memory that no limit counts.
    static let excessLimit = 16 << 10

    private var state = State.done
    /// Bytes of the unfinished line or section at the front that were looked at before.
    private var scanned = 0
    /// Bytes of framing that were out of proportion so far.
    private var excess = 0

    private var trailerBytes = 8 << 10
    private var trailerFields = 32

    public init() {}

    /// - Parameters: bytes and fields that the trailers may have.
    public init(_ length: BodyLength, trailerBytes: Int = 8 << 10, trailerFields: Int = 32) {
        self.trailerBytes = trailerBytes
        self.trailerFields = trailerFields
        switch length {
        case .none: state = .done
        case .known(let count): state = count == 0 ? .done : .known(left: count)
        case .unknown: state = .chunkSize
        case .untilClose: state = .untilClose
        }
    }

    /// Bytes of a Content-Length body that have not been given out; nil for other bodies.
    public var remainingKnown: Int? {
        if case .known(let left) = state { left } else { nil }
    }

    /// The end of the connection is the end of this body.
    public var endsWithConnection: Bool {
        if case .untilClose = state { true } else { false }
    }

    public var isDone: Bool {
        if case .done = state { true } else { false }
    }

    /// Whether the body's end is among these bytes, which follow those that were read. A mistake in them counts as its end.
    public func ends(within bytes: borrowing Span<UInt8>) -> Bool {
        var trial = self
        var at = 0
        while !trial.isDone {
            switch trial.next(bytes.extracting(at..<bytes.count)) {
            case .data(let skip, let count): at += skip + count
            case .needMore: return false
            case .end, .failed: return true
            }
        }
        return true
    }

    /// Says that bytes of a Content-Length body went another way (splice).
    public mutating func skipKnown(_ count: Int) {
        guard case .known(let left) = state, count <= left else { return }
        state = left == count ? .done : .known(left: left - count)
    }

    /// Trailers are checked and dropped.
    public mutating func next(_ bytes: borrowing Span<UInt8>) -> BodyStep {
        var section = 0
        return next(bytes, &section)
    }

    /// The same; with `.end`, the trailers have been added to `trailers`.
    public mutating func next(_ bytes: borrowing Span<UInt8>, trailers: inout Head) -> BodyStep {
        var section = -1
        let step = next(bytes, &section)
        if case .end(let consumed) = step, section >= 0, consumed - section > 2 {
            TrailerSection.add(bytes.extracting(section..<consumed), to: &trailers)
        }
        return step
    }

    private mutating func next(_ bytes: borrowing Span<UInt8>, _ section: inout Int) -> BodyStep {
        switch state {
        case .done: return .end(consumed: 0)
        case .known(let left):
            guard bytes.count > 0 else { return .needMore(consumed: 0) }
            let count = min(left, bytes.count)
            state = count == left ? .done : .known(left: left - count)
            return .data(skip: 0, count: count)
        case .untilClose:
            return bytes.count > 0 ? .data(skip: 0, count: bytes.count) : .needMore(consumed: 0)
        case .chunkSize, .chunkData, .chunkEnd, .trailers:
            return chunked(bytes, &section)
        }
    }

    private mutating func chunked(_ bytes: borrowing Span<UInt8>, _ section: inout Int) -> BodyStep {
        var at = 0
        while true {
            switch state {
            case .chunkData(let left):
                guard at < bytes.count else { return .needMore(consumed: at) }
                let count = min(left, bytes.count - at)
                state = count == left ? .chunkEnd : .chunkData(left: left - count)
                return .data(skip: at, count: count)
            case .chunkEnd:
                guard at < bytes.count else { return .needMore(consumed: at) }
                guard bytes[at] == ASCII.carriageReturn, at + 1 == bytes.count || bytes[at + 1] == ASCII.lineFeed else {
                    return .failed(.badRequest, "a chunk does not end in CRLF")
                }
                guard at + 1 < bytes.count else { return .needMore(consumed: at) }
                at += 2
                state = .chunkSize
            case .chunkSize:
                switch readSize(bytes, at) {
                case .incomplete: return .needMore(consumed: at)
                case .failed(let note): return .failed(.badRequest, note)
                case .size(let size, let next):
                    excess = max(0, excess + next - at + 2 - 16 - 2 * min(size, 1 << 20))
                    guard excess <= BodyDecoder.excessLimit else {
                        return .failed(.badRequest, "chunk extensions out of proportion to the data")
                    }
                    at = next
                    scanned = 0
                    state = size == 0 ? .trailers : .chunkData(left: size)
                }
            case .trailers:
                switch readTrailers(bytes, at) {
                case .incomplete: return .needMore(consumed: at)
                case .failed(let note): return .failed(.badRequest, note)
                case .size(_, let next):
                    section = at
                    state = .done
                    return .end(consumed: next)
                }
            case .done, .known, .untilClose: return .end(consumed: at)
            }
        }
    }

    private enum Line {
        case incomplete
        case failed(String)
        /// `next` is the offset behind the line.
        case size(Int, next: Int)
    }

    /// `1*16HEXDIG [";" extension] CRLF`. White space is refused: parsers disagree on it.
    private mutating func readSize(_ bytes: borrowing Span<UInt8>, _ start: Int) -> Line {
        var at = start
        var size = 0
        while at < bytes.count, let digit = hexValue(bytes[at]) {
            guard at - start < 16, size <= Int.max >> 4 else { return .failed("a chunk size with too many digits") }
            size = size << 4 | Int(digit)
            at += 1
        }
        guard at < bytes.count else { return .incomplete }
        guard at > start, bytes[at] == ASCII.carriageReturn || bytes[at] == UInt8(ascii: ";") else {
            return .failed("malformed chunk size")
        }
        let digits = at - start
        at = bytes.endOfText(from: max(at, start + scanned))
        guard at - start - digits <= BodyDecoder.extensionLimit else { return .failed("a chunk extension longer than 1 KiB") }
        scanned = at - start
        guard at < bytes.count else { return .incomplete }
        guard bytes[at] == ASCII.carriageReturn else { return .failed("a control byte in a chunk size line") }
        guard at + 1 < bytes.count else { return .incomplete }
        guard bytes[at + 1] == ASCII.lineFeed else { return .failed("CR without LF in a chunk size line") }
        return .size(size, next: at + 2)
    }

    /// Waits for the empty line behind the trailers and checks the section as a whole.
    private mutating func readTrailers(_ bytes: borrowing Span<UInt8>, _ start: Int) -> Line {
        while true {
            let at = bytes.endOfText(from: start + scanned)
            scanned = at - start
            guard scanned <= trailerBytes else { return .failed("trailers larger than the limit") }
            guard at < bytes.count else { return .incomplete }
            guard bytes[at] == ASCII.carriageReturn else { return .failed("a control byte in a trailer") }
            guard at + 1 < bytes.count else { return .incomplete }
            guard bytes[at + 1] == ASCII.lineFeed else { return .failed("CR without LF in a trailer") }
            let isLast = at == start || (scanned >= 2 && bytes[at - 1] == ASCII.lineFeed)
            guard !isLast else {
                if let fault = TrailerSection.fault(bytes.extracting(start..<at), most: trailerFields) { return .failed(fault) }
                return .size(0, next: at + 2)
            }
            scanned += 2
        }
    }
}

/// Field lines behind the last chunk (RFC 9110 section 6.5), each ended by CRLF.
enum TrailerSection {
    private struct Line {
        var start: Int
        var colon: Int
        var end: Int
    }

    /// What is wrong with a section, nil when nothing is. Its lines hold text only: the decoder saw to it.
    static func fault(_ bytes: borrowing Span<UInt8>, most: Int) -> String? {
        var at = 0
        var count = 0
        while at < bytes.count {
            guard let line = line(bytes, at) else { return "a malformed trailer" }
            count += 1
            guard count <= most else { return "more trailers than the limit" }
            switch meaning(FieldName(matching: bytes.extracting(line.start..<line.colon))) {
            case .refused: return "a trailer that changes what the message is"
            case .dropped, .kept: break
            }
            at = line.end + 2
        }
        return nil
    }

    /// Adds the fields of a section without fault.
    static func add(_ bytes: borrowing Span<UInt8>, to trailers: inout Head) {
        var at = 0
        while at < bytes.count, bytes[at] != ASCII.carriageReturn, let line = line(bytes, at) {
            let name = bytes.extracting(line.start..<line.colon)
            if meaning(FieldName(matching: name)) == .kept {
                trailers.add(name: name, value: bytes.extracting(line.colon + 1..<line.end).trimmingOWS())
            }
            at = line.end + 2
        }
    }

    private static func line(_ bytes: borrowing Span<UInt8>, _ start: Int) -> Line? {
        var colon = start
        while colon < bytes.count, ASCIISet.token.contains(bytes[colon]) { colon += 1 }
        guard colon > start, colon < bytes.count, bytes[colon] == UInt8(ascii: ":") else { return nil }
        return Line(start: start, colon: colon, end: bytes.firstIndex(of: ASCII.carriageReturn, from: colon) ?? bytes.count)
    }

    enum Meaning { case kept, dropped, refused }

    /// Fields that say where a message ends, who it is for or who sends it have no business behind it; others that
    /// change how it is read come too late to be of use.
    static func meaning(_ id: FieldName) -> Meaning {
        if id.isFraming { return .refused }
        switch id {
        case .host, .authorization, .cookie, .setCookie, .proxyAuthorization: return .refused
        case .contentType, .contentEncoding, .cacheControl, .range, .location, .vary, .age, .expires, .date, .retryAfter,
            .forwarded, .xForwardedFor, .xForwardedHost, .xForwardedProto, .xRealIP, .wwwAuthenticate, .proxyAuthenticate:
            return .dropped
        default: return .kept
        }
    }
}
