import Buffers
import HTTP

/// Why a head is refused.
struct HeadFailure: Error {
    let kind: ErrorKind
    let note: String

    init(_ kind: ErrorKind, _ note: String) {
        self.kind = kind
        self.note = note
    }
}

/// Looks for the empty line that ends a head, each byte once, and refuses bytes that can never be in one.
struct HeadFinder {
    enum Result {
        case needMore
        /// The head has so many bytes, its empty line included.
        case end(Int)
        case failed(ErrorKind, String)
    }

    private var scanned = 0
    private var lineStart = 0
    private var lines = 0

    mutating func find(_ bytes: borrowing Span<UInt8>, _ limits: HeadLimits) -> Result {
        let count = bytes.count
        while scanned < count {
            let byte = bytes[scanned]
            if byte == 10 { return .failed(.badRequest, "a line ends in LF alone") }
            if byte != 13 {
                if byte == 0 { return .failed(.badRequest, "NUL in a head") }
                scanned += 1
                continue
            }
            guard scanned + 1 < count else { break }
            guard bytes[scanned + 1] == 10 else { return .failed(.badRequest, "CR without LF") }
            let length = scanned - lineStart
            if length == 0, lines > 0 { return .end(scanned + 2) }
            if length == 0 { return .failed(.badRequest, "an empty line in the place of a start line") }
            if let failure = check(length, limits) { return failure }
            lines += 1
            scanned += 2
            lineStart = scanned
        }
        return check(scanned - lineStart, limits) ?? .needMore
    }

    private func check(_ length: Int, _ limits: HeadLimits) -> Result? {
        if lines == 0, length > limits.line { return .failed(.uriTooLong, "the request line is longer than the limit") }
        if lines > 0, length > limits.field { return .failed(.headTooLarge, "a field is longer than the limit") }
        if scanned > limits.total { return .failed(.headTooLarge, "the head is larger than the limit") }
        if lines > limits.fields + 1 { return .failed(.headTooLarge, "the head has more fields than the limit") }
        return nil
    }
}
