/// YAML values as JSON: what hooks get as arguments, and JSON bodies.
struct JSONValue {
    /// Finished text and the pieces before it.
    private var pieces: [Template.Piece] = []
    private var text = ""
    private let expand: ((String, YAMLNode) -> Template)?

    /// Static JSON.
    static func text(_ node: YAMLNode) -> [UInt8] {
        var value = JSONValue(expand: nil)
        value.write(node)
        return Array(value.text.utf8)
    }

    /// JSON whose strings may have `${...}`; `expand` reads one string.
    static func template(_ node: YAMLNode, expand: @escaping (String, YAMLNode) -> Template) -> Template {
        var value = JSONValue(expand: expand)
        value.write(node)
        value.flush()
        return Template(value.pieces)
    }

    private init(expand: ((String, YAMLNode) -> Template)?) { self.expand = expand }

    private mutating func flush() {
        if !text.isEmpty { pieces.append(.literal(Array(text.utf8))) }
        text = ""
    }

    private mutating func write(_ node: YAMLNode) {
        switch node.content {
        case .scalar(let scalar, .plain):
            if let literal = Self.literal(scalar) { text += literal } else { write(string: scalar, node) }
        case .scalar(let scalar, _): write(string: scalar, node)
        case .sequence(let elements):
            text += "["
            for (index, element) in elements.enumerated() {
                if index > 0 { text += "," }
                write(element)
            }
            text += "]"
        case .mapping(let pairs):
            text += "{"
            for (index, pair) in pairs.enumerated() {
                if index > 0 { text += "," }
                text += JSONText.quoted(pair.key.scalar ?? "") + ":"
                write(pair.value)
            }
            text += "}"
        }
    }

    private mutating func write(string: String, _ node: YAMLNode) {
        guard let expand, string.contains("${") else {
            text += JSONText.quoted(string)
            return
        }
        text += "\""
        for piece in expand(string, node).pieces {
            if case .literal(let bytes) = piece {
                text += JSONText.escaped(String(decoding: bytes, as: UTF8.self))
            } else {
                flush()
                pieces.append(piece)
            }
        }
        text += "\""
    }

    /// What a plain scalar is in the YAML 1.2 core schema, as JSON; nil for a string.
    static func literal(_ text: String) -> String? {
        switch text {
        case "", "~", "null": return "null"
        case "true", "false": return text
        default: return isNumber(Array(text.utf8)) ? text : nil
        }
    }

    /// JSON's own grammar: `-1`, `0.5`, `1e9`; not `+1`, `.5`, `0x10`, `007`.
    private static func isNumber(_ text: [UInt8]) -> Bool {
        var index = text.first == UInt8(ascii: "-") ? 1 : 0
        func digits() -> Int {
            let start = index
            while index < text.count, text[index] &- 48 < 10 { index += 1 }
            return index - start
        }
        let first = index
        let whole = digits()
        guard whole == 1 || whole > 1 && text[first] != UInt8(ascii: "0") else { return false }
        if index < text.count, text[index] == UInt8(ascii: ".") {
            index += 1
            guard digits() > 0 else { return false }
        }
        if index < text.count, text[index] | 0x20 == UInt8(ascii: "e") {
            index += 1
            if index < text.count, text[index] == UInt8(ascii: "+") || text[index] == UInt8(ascii: "-") { index += 1 }
            guard digits() > 0 else { return false }
        }
        return index == text.count && text.count <= 64
    }
}
