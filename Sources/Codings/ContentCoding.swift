import Buffers

/// A content coding (RFC 9110 section 8.4.1).
public enum ContentCoding: UInt8, Sendable, CaseIterable {
    case gzip, brotli, zstd
    /// Understood from origins, never made: too many programs disagree on what it is.
    case deflate

    /// As in Content-Encoding.
    public var token: StaticString {
        switch self {
        case .gzip: "gzip"
        case .brotli: "br"
        case .zstd: "zstd"
        case .deflate: "deflate"
        }
    }

    public var canEncode: Bool { self != .deflate }

    /// Without case; `x-gzip` is gzip (RFC 9110 section 8.4.1.3).
    public init?(_ text: borrowing Span<UInt8>) {
        for coding in ContentCoding.allCases where text.equalsIgnoringCase(coding.token) {
            self = coding
            return
        }
        guard text.equalsIgnoringCase("x-gzip") else { return nil }
        self = .gzip
    }
}

/// What a client's Accept-Encoding says (RFC 9110 section 12.5.3).
public struct AcceptedCodings: Sendable {
    /// Weights in thousandths by coding; -1 when not named.
    private var weights: InlineArray<4, Int16> = .init(repeating: -1)
    private var any: Int16 = -1
    private var identity: Int16 = -1

    public init() {}

    /// Takes one field; several count together.
    public mutating func add(_ value: borrowing Span<UInt8>) {
        var start = 0
        while start < value.count {
            let end = value.firstIndex(of: UInt8(ascii: ","), from: start) ?? value.count
            add(element: value.extracting(start..<end))
            start = end + 1
        }
    }

    private mutating func add(element: borrowing Span<UInt8>) {
        let semicolon = element.firstIndex(of: UInt8(ascii: ";")) ?? element.count
        let name = element.extracting(0..<semicolon).trimmingOWS()
        guard name.count > 0 else { return }
        let weight = AcceptedCodings.weight(element.extracting(min(semicolon + 1, element.count)..<element.count))
        if name.equals("*") {
            any = weight
        } else if name.equalsIgnoringCase("identity") {
            identity = weight
        } else if let coding = ContentCoding(name) {
            weights[Int(coding.rawValue)] = weight
        }
    }

    /// `q=0.5` as 500; without a weight 1000; 0 for what cannot be read, so that nobody gets what he may not want.
    private static func weight(_ parameters: borrowing Span<UInt8>) -> Int16 {
        let text = parameters.trimmingOWS()
        guard text.count > 0 else { return 1000 }
        guard text.count >= 3, text.count <= 7, text[0] | 0x20 == UInt8(ascii: "q"), text[1] == UInt8(ascii: "=") else { return 0 }
        guard text[2] == UInt8(ascii: "0") || text[2] == UInt8(ascii: "1") else { return 0 }
        var weight = Int16(text[2] - 48) * 1000
        var scale: Int16 = 100
        for index in 3..<text.count {
            if index == 3 {
                guard text[3] == UInt8(ascii: ".") else { return 0 }
                continue
            }
            guard text[index] &- 48 < 10 else { return 0 }
            weight += Int16(text[index] - 48) * scale
            scale /= 10
        }
        return min(weight, 1000)
    }

    /// 0: not acceptable.
    public func weight(of coding: ContentCoding) -> Int {
        let own = weights[Int(coding.rawValue)]
        return Int(own >= 0 ? own : max(any, 0))
    }

    /// The coding with the largest weight, the earlier one of several; nil when the client wants the body as it is.
    public func best(of offered: [ContentCoding]) -> ContentCoding? {
        var best: ContentCoding?
        var most = 0
        for coding in offered where weight(of: coding) > most {
            best = coding
            most = weight(of: coding)
        }
        // A client that names identity and wants it more than all codings means it.
        return Int(identity) > most ? nil : best
    }
}
