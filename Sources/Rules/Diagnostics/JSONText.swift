/// Writes JSON. Small enough to need no library, and used where Foundation must not be.
public struct JSONText {
    private(set) var text = ""
    private var first = true

    mutating func open(_ bracket: String) {
        text += bracket
        first = true
    }

    mutating func close(_ bracket: String) {
        text += bracket
        first = false
    }

    mutating func separator() {
        if !first { text += "," }
        first = false
    }

    mutating func key(_ name: String) {
        separator()
        text += Self.quoted(name) + ":"
        first = true
    }

    mutating func value(raw: String) {
        separator()
        text += raw
    }

    mutating func field(_ name: String, _ value: String) {
        key(name)
        self.value(raw: Self.quoted(value))
    }

    mutating func field(_ name: String, _ value: Int) {
        key(name)
        self.value(raw: String(value))
    }

    /// A JSON string literal, quotes included.
    public static func quoted(_ string: String) -> String { "\"" + escaped(string) + "\"" }

    /// The inside of a JSON string literal.
    static func escaped(_ string: String) -> String {
        var out = ""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }
}
