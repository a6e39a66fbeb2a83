import Buffers
import HTTP

/// What names of things, hosts and headers look like.
enum Names {
    /// Letters, digits, `_`, `-`, `.`; 1 to 64 of them.
    static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count) && text.utf8.allSatisfy { isLetterOrDigit($0) || "_-.".utf8.contains($0) }
    }

    /// Any printable text of 1 to 128 bytes without a slash at its ends: ids are `site/rule`.
    static func isTitle(_ text: String) -> Bool {
        (1...128).contains(text.utf8.count) && !text.hasPrefix("/") && !text.hasSuffix("/")
            && !text.hasPrefix(" ") && !text.hasSuffix(" ") && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f }
    }

    /// A DNS name in ASCII (an underscore is tolerated), or dotted numbers.
    static func isHost(_ text: String) -> Bool {
        guard (1...253).contains(text.utf8.count) else { return false }
        return text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
                && label.utf8.allSatisfy { isLetterOrDigit($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }
        }
    }

    /// `host:port`, `[v6]:port` or only a host. The brackets are taken off.
    static func split(_ text: String) -> (host: String, port: UInt16?)? {
        let end: Substring
        let host: Substring
        if text.hasPrefix("[") {
            guard let close = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<close]
            guard host.contains(":") else { return nil }
            end = text[text.index(after: close)...]
        } else {
            let colon = text.firstIndex(of: ":") ?? text.endIndex
            host = text[..<colon]
            end = text[colon...]
        }
        if end.isEmpty { return (String(host), nil) }
        guard end.hasPrefix(":"), let port = Units.integer(String(end.dropFirst())), port <= 65_535 else { return nil }
        return (String(host), UInt16(port))
    }

    /// A token of RFC 9110 section 5.6.2, 1 to 256 bytes long.
    static func isHeader(_ text: String) -> Bool {
        (1...256).contains(text.utf8.count) && text.utf8.allSatisfy { isTokenByte($0) }
    }

    /// Why rules may not name this field; nil when they may.
    static func headerProblem(_ text: String) -> (DiagnosticCode, String)? {
        guard isHeader(text) else { return (.header, "`\(text)` is not a header name") }
        let id = FieldName(matching: Array(text.utf8).span)
        return id.isFraming ? (.protectedHeader, "`\(text)` frames the message and cannot be changed by rules") : nil
    }

    /// RFC 9110 section 5.6.2.
    static func isTokenByte(_ byte: UInt8) -> Bool { isLetterOrDigit(byte) || "!#$%&'*+-.^_`|~".utf8.contains(byte) }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        byte &- 48 < 10 || (byte | 0x20) &- 97 < 26
    }
}
