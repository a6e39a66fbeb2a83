import Buffers

/// `host [":" port]` (RFC 3986 section 3.2), without user information and never empty.
public enum Authority {
    static let longest = 261

    public static func isValid(_ text: borrowing Span<UInt8>) -> Bool {
        guard text.count > 0, text.count <= longest, let end = endOfHost(text) else { return false }
        if end == text.count { return true }
        guard text[end] == UInt8(ascii: ":") else { return false }
        return isPort(text.extracting(droppingFirst: end + 1), mayBeEmpty: true)
    }

    /// The authority form of CONNECT: the port is not optional (RFC 9110 section 7.1).
    public static func isValidWithPort(_ text: borrowing Span<UInt8>) -> Bool {
        guard text.count > 0, text.count <= longest, let end = endOfHost(text), end < text.count, text[end] == UInt8(ascii: ":")
        else { return false }
        return isPort(text.extracting(droppingFirst: end + 1), mayBeEmpty: false)
    }

    private static func isPort(_ text: borrowing Span<UInt8>, mayBeEmpty: Bool) -> Bool {
        if text.count == 0 { return mayBeEmpty }
        guard text.count <= 5, let number = text.decimal() else { return false }
        return number <= 65535
    }

    /// The offset behind a valid host at the start of `text`, or nil.
    private static func endOfHost(_ text: borrowing Span<UInt8>) -> Int? {
        if text[0] == UInt8(ascii: "[") {
            guard let close = text.firstIndex(of: UInt8(ascii: "]")), isIPv6(text.extracting(1..<close)) else { return nil }
            return close + 1
        }
        var at = 0
        while at < text.count, text[at] != UInt8(ascii: ":") {
            if text[at] == UInt8(ascii: "%") {
                guard at + 2 < text.count, hexValue(text[at + 1]) != nil, hexValue(text[at + 2]) != nil else { return nil }
            } else if !ASCIISet.hostName.contains(text[at]) {
                return nil
            }
            at += 1
        }
        return at > 0 && at <= 255 ? at : nil
    }

    /// RFC 4291 section 2.2, without a zone. Counts groups instead of building an address: nothing is allocated.
    private static func isIPv6(_ text: borrowing Span<UInt8>) -> Bool {
        var groups = 0
        var at = 0
        var compressed = false
        if text.count >= 2, text[0] == 58, text[1] == 58 {
            compressed = true
            at = 2
        }
        while at < text.count {
            let digits = hexDigits(text, at)
            if at + digits < text.count, text[at + digits] == UInt8(ascii: ".") {
                guard isIPv4(text.extracting(droppingFirst: at)) else { return false }
                groups += 2
                at = text.count
                break
            }
            guard (1...4).contains(digits) else { return false }
            groups += 1
            at += digits
            if at == text.count { break }
            guard text[at] == 58 else { return false }
            at += 1
            if at < text.count, text[at] == 58 {
                guard !compressed else { return false }
                compressed = true
                at += 1
            } else if at == text.count {
                return false
            }
        }
        return compressed ? groups <= 7 : groups == 8
    }

    private static func hexDigits(_ text: borrowing Span<UInt8>, _ start: Int) -> Int {
        var at = start
        while at < text.count, hexValue(text[at]) != nil { at += 1 }
        return at - start
    }

    private static func isIPv4(_ text: borrowing Span<UInt8>) -> Bool {
        var parts = 0
        var at = 0
        while at <= text.count {
            let end = text.firstIndex(of: UInt8(ascii: "."), from: at) ?? text.count
            let part = text.extracting(at..<end)
            guard part.count <= 3, let number = part.decimal(), number <= 255, part.count == 1 || part[0] != 48 else { return false }
            parts += 1
            at = end + 1
        }
        return parts == 4
    }
}
