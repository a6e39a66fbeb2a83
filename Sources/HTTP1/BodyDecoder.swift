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
    static let trailerBytesLimit = 8 << 10
    static let trailerFieldsLimit = 32

    private var state = State.done
    private var trailerBytes = 0
    private var trailerFields = 0

    public init() {}

    public init(_ length: BodyLength) {
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

    /// Says that bytes of a Content-Length body went another way (splice).
    public mutating func skipKnown(_ count: Int) {
        guard case .known(let left) = state, count <= left else { return }
        state = left == count ? .done : .known(left: left - count)
    }

    public mutating func next(_ bytes: borrowing Span<UInt8>) -> BodyStep {
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
            return chunked(bytes)
        }
    }

    private mutating func chunked(_ bytes: borrowing Span<UInt8>) -> BodyStep {
        var at = 0
        while true {
            switch state {
            case .chunkData(let left):
                guard at < bytes.count else { return .needMore(consumed: at) }
                let count = min(left, bytes.count - at)
                state = count == left ? .chunkEnd : .chunkData(left: left - count)
                return .data(skip: at, count: count)
            case .chunkEnd:
                guard bytes.count - at >= 2 else {
                    return bytes.count - at == 1 && bytes[at] != 13 ? .failed(.badRequest, "a chunk does not end in CRLF") : .needMore(consumed: at)
                }
                guard bytes[at] == 13, bytes[at + 1] == 10 else { return .failed(.badRequest, "a chunk does not end in CRLF") }
                at += 2
                state = .chunkSize
            case .chunkSize:
                switch readSize(bytes, at) {
                case .incomplete: return .needMore(consumed: at)
                case .failed(let note): return .failed(.badRequest, note)
                case .size(let size, let next):
                    at = next
                    state = size == 0 ? .trailers : .chunkData(left: size)
                }
            case .trailers:
                switch readTrailer(bytes, at) {
                case .incomplete: return .needMore(consumed: at)
                case .failed(let note): return .failed(.badRequest, note)
                case .size(0, let next):
                    state = .done
                    return .end(consumed: next)
                case .size(_, let next): at = next
                }
            case .done, .known, .untilClose: return .end(consumed: at)
            }
        }
    }

    private enum Line {
        case incomplete
        case failed(String)
        /// For sizes: the number; for trailers: 0 ends, 1 goes on. `next` is the offset behind the line.
        case size(Int, next: Int)
    }

    private func readSize(_ bytes: borrowing Span<UInt8>, _ start: Int) -> Line {
        var at = start
        var size = 0
        while at < bytes.count, let digit = BodyDecoder.hex(bytes[at]) {
            guard at - start < 16, size <= Int.max >> 4 else { return .failed("a chunk size with too many digits") }
            size = size << 4 | digit
            at += 1
        }
        guard at < bytes.count else { return .incomplete }
        guard at > start else { return .failed("malformed chunk size") }
        let extensionStart = at
        // White space before an extension is tolerated by nobody we know of twice the same way: refuse it.
        if bytes[at] != 13, bytes[at] != UInt8(ascii: ";") { return .failed("malformed chunk size") }
        while at < bytes.count, bytes[at] != 13 {
            guard CharacterClass.has(bytes[at], CharacterClass.value) else { return .failed("a control byte in a chunk extension") }
            guard at - extensionStart <= BodyDecoder.extensionLimit else { return .failed("a chunk extension longer than 1 KiB") }
            at += 1
        }
        guard at + 1 < bytes.count else { return .incomplete }
        guard bytes[at + 1] == 10 else { return .failed("CR without LF in a chunk size line") }
        return .size(size, next: at + 2)
    }

    /// Trailers are checked and dropped.
    private mutating func readTrailer(_ bytes: borrowing Span<UInt8>, _ start: Int) -> Line {
        var at = start
        while at < bytes.count, bytes[at] != 13 {
            guard CharacterClass.has(bytes[at], CharacterClass.value) else { return .failed("a control byte in a trailer") }
            guard trailerBytes + at - start <= BodyDecoder.trailerBytesLimit else { return .failed("trailers larger than 8 KiB") }
            at += 1
        }
        guard at + 1 < bytes.count else { return .incomplete }
        guard bytes[at + 1] == 10 else { return .failed("CR without LF in a trailer") }
        if at == start { return .size(0, next: at + 2) }
        trailerBytes += at - start
        trailerFields += 1
        guard trailerFields <= BodyDecoder.trailerFieldsLimit else { return .failed("more than 32 trailers") }
        return trailerIsValid(bytes.extracting(start..<at)) ? .size(1, next: at + 2) : .failed("a malformed or forbidden trailer")
    }

    private func trailerIsValid(_ line: borrowing Span<UInt8>) -> Bool {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0 else { return false }
        for index in 0..<colon where !CharacterClass.has(line[index], CharacterClass.token) { return false }
        let name = FieldName(matching: line.extracting(first: colon))
        return !name.isFraming && name != .host && name != .authorization && name != .cookie
    }

    private static func hex(_ byte: UInt8) -> Int? {
        if byte &- 48 < 10 { return Int(byte &- 48) }
        let letter = (byte | 0x20) &- 97
        return letter < 6 ? Int(letter) + 10 : nil
    }
}
