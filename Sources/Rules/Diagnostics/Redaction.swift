/// Hides what looks like a secret in a line of a rule file before the line is shown: diagnostics end in CI logs.
///
/// Each hidden character becomes one `*`, so that places stay true.
enum Redaction {
    /// Values that stand after these words are hidden. `secrets:` lists names, not values.
    private static let words = [
        "authorization", "cookie", "password", "passwd", "token", "secret", "credential", "api-key", "api_key", "apikey", "private-key",
    ]

    private static let operators = ["==", "!=", "eq ", "ne ", "in ", "contains ", "starts_with ", "ends_with ", "matches ", "like ", "~", ","]

    /// For messages, which quote single words of a file.
    static func hiddenAddresses(_ message: String) -> String {
        guard message.contains("://") else { return message }
        var bytes = Array(message.utf8)
        hideUserInformation(&bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    static func hidden(_ line: String) -> String {
        let lower = line.lowercased()
        // Most lines have nothing of the kind. Lower case must not have moved anything.
        guard lower.utf8.count == line.utf8.count, words.contains(where: { lower.contains($0) }) || lower.contains("://") else { return line }
        var bytes = Array(line.utf8)
        let folded = Array(lower.utf8)
        for word in words { hideValues(after: Array(word.utf8), folded, &bytes) }
        hideUserInformation(&bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func hideValues(after word: [UInt8], _ folded: [UInt8], _ bytes: inout [UInt8]) {
        var from = 0
        while let found = folded[from...].firstRange(of: word) {
            from = found.upperBound
            if word == Array("secret".utf8), from < folded.count, folded[from] == UInt8(ascii: "s") { continue }
            var index = from
            while index < folded.count, isNamePart(folded[index]) { index += 1 }
            guard index < folded.count, let value = afterOperator(folded, index) else { continue }
            from = max(from, hide(from: value, &bytes))
        }
    }

    private static func isNamePart(_ byte: UInt8) -> Bool {
        byte &- 48 < 10 || byte &- 97 < 26 || "-_.\"']".utf8.contains(byte)
    }

    /// Where the value begins after `:`, `==`, `!=`, `eq` and the like; nil when none of them follows.
    private static func afterOperator(_ text: [UInt8], _ start: Int) -> Int? {
        var index = start
        while index < text.count, text[index] == 0x20 { index += 1 }
        let isKey = index < text.count && text[index] == UInt8(ascii: ":")
        if isKey { return index + 1 }
        // In an expression the value is a string.
        guard operators.contains(where: { text[index...].starts(with: $0.utf8) }) else { return nil }
        return text[index...].firstIndex(of: UInt8(ascii: "\""))
    }

    /// Hides up to the end of the value. What a template puts in is no secret of the file.
    private static func hide(from start: Int, _ bytes: inout [UInt8]) -> Int {
        var index = start
        var quote: UInt8?
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "$"), index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "{"),
                let end = bytes[index...].firstIndex(of: UInt8(ascii: "}")) {
                index = end + 1
                continue
            }
            if byte == quote { return index + 1 }
            if quote == nil {
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
                    quote = byte
                } else if byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]") {
                    return index
                }
            }
            // Continuation bytes of UTF-8 go with their first.
            if byte == quote || byte == 0x20 || byte == UInt8(ascii: "[") || byte == UInt8(ascii: "{") {
                index += 1
            } else if byte & 0xC0 == 0x80 {
                bytes.remove(at: index)
            } else {
                bytes[index] = UInt8(ascii: "*")
                index += 1
            }
        }
        return index
    }

    /// `https://user:password@host`
    private static func hideUserInformation(_ bytes: inout [UInt8]) {
        var from = 0
        while let found = bytes[from...].firstRange(of: Array("://".utf8)) {
            from = found.upperBound
            let end = bytes[from...].firstIndex { $0 <= 0x20 || "/?#\"',]}`".utf8.contains($0) } ?? bytes.count
            guard let at = bytes[from..<end].lastIndex(of: UInt8(ascii: "@")) else { continue }
            for index in from..<at where bytes[index] != UInt8(ascii: ":") { bytes[index] = UInt8(ascii: "*") }
        }
    }
}
