import Buffers
import HTTP

/// Why reading stopped before the end of a head.
enum HeadStop: Error {
    case incomplete
    case refused(ErrorKind, String)
}

extension HeadLimits {
    /// A head is parsed where it was received, so it has to fit there with room for one more read.
    var effectiveTotal: Int { min(total, ReadBuffer.largestUnread - 4) }

    /// What is wrong with having got to offset `at` of a head in a line that began at `lineStart`; nil if nothing is.
    ///
    /// Asked before any other complaint at the same place, so that a head that comes byte by byte is refused for
    /// the same reason as one that comes whole.
    func breach(at: Int, lineStart: Int, startLine: Bool) -> HeadStop? {
        if startLine, at - lineStart > line { return .refused(.uriTooLong, "the request line is longer than the limit") }
        if !startLine, at - lineStart > field { return .refused(.headTooLarge, "a field is longer than the limit") }
        if at > effectiveTotal { return .refused(.headTooLarge, "the head is larger than the limit") }
        return nil
    }
}

/// Looks for the empty line that ends a head which comes in pieces, each byte once, and refuses what can never be in one.
///
/// A head that comes whole never gets here: it is read at once.
struct HeadFinder {
    enum Result {
        case needMore, end
        case failed(ErrorKind, String)
    }

    private var scanned = 0
    private var lineStart = 0
    private var lines = 0

    mutating func find(_ bytes: borrowing Span<UInt8>, _ limits: HeadLimits) -> Result {
        while true {
            scanned = bytes.firstControl(from: scanned)
            if scanned == bytes.count { break }
            let byte = bytes[scanned]
            if byte != ASCII.carriageReturn {
                if byte == ASCII.lineFeed { return .failed(.badRequest, "a line ends in LF alone") }
                if byte == 0 { return .failed(.badRequest, "NUL in a head") }
                scanned += 1
                continue
            }
            guard scanned + 1 < bytes.count else { break }
            guard bytes[scanned + 1] == ASCII.lineFeed else { return .failed(.badRequest, "CR without LF") }
            if let failure = breach(limits) { return failure }
            if scanned == lineStart {
                return lines > 0 ? .end : .failed(.badRequest, "an empty line in the place of a start line")
            }
            lines += 1
            guard lines <= limits.fields + 2 else { return .failed(.headTooLarge, "the head has more fields than the limit") }
            scanned += 2
            lineStart = scanned
        }
        return breach(limits) ?? .needMore
    }

    private func breach(_ limits: HeadLimits) -> Result? {
        guard case .refused(let kind, let note)? = limits.breach(at: scanned, lineStart: lineStart, startLine: lines == 0) else {
            return nil
        }
        return .failed(kind, note)
    }
}
