import Buffers
import HTTP

/// The arena a value is rendered into.
enum Target { case request, response, scratch }

/// What must not pass unchanged from a client's value into the place a template stands in.
enum Escape {
    case none
    /// Control characters become spaces: a field value has no line breaks.
    case header
    /// RFC 6265 section 4.1.1: spaces, quotes, commas, semicolons and backslashes are percent-encoded.
    case cookie
    /// Characters that would end the path or the query are percent-encoded.
    case path, query
    /// Data within a path: a slash in it is not a separator.
    case segment
    case location
    /// Inside a JSON string.
    case json
    /// In text or a quoted attribute of HTML or XML.
    case html
}

/// Putting templates together.
extension RuleRunner {
    mutating func render(_ value: Value, into target: Target, escape: Escape, _ generation: Generation, _ exchange: Exchange) -> ByteRange {
        if let constant = value.constant { return copy(Located(store: .constants, range: constant), target, generation, exchange) }
        // Values are looked up into the scratch, so a template for the scratch is made aside and moved.
        let start = mark(target, exchange)
        var length = 0
        for index in value.pieces.indices {
            let piece: Located
            var mode = escape
            switch generation.program.pieces[index] {
            case .literal(let range):
                piece = Located(store: .constants, range: range)
                mode = .none
            case .capture(let slot):
                guard Int(slot) < captureRanges.count else { continue }
                piece = Located(store: .captures, range: captureRanges[Int(slot)])
            case .field(let field):
                guard let found = text(field, generation, exchange) else { continue }
                piece = found
                if mode == .path, Self.isForeign(field.id) { mode = .segment }
            }
            if target == .scratch {
                length += append(piece, mode, .request, generation, exchange)
            } else {
                length += append(piece, mode, target, generation, exchange)
            }
        }
        guard target == .scratch else { return ByteRange(start: start, count: length) }
        let whole = ByteRange(start: mark(.request, exchange) - length, count: length)
        return copy(Located(store: .request, range: whole), .scratch, generation, exchange)
    }

    /// Values that are not parts of a path: a slash in them is data.
    private static func isForeign(_ id: FieldID) -> Bool {
        switch id {
        case .argument, .originalArgument, .header, .cookie, .query, .originalQuery: true
        default: false
        }
    }

    private func mark(_ target: Target, _ exchange: Exchange) -> Int {
        switch target {
        case .request: exchange.request.arena.count
        case .response: exchange.response.arena.count
        case .scratch: scratch.count
        }
    }

    /// - Returns: how many bytes were appended.
    private mutating func append(_ value: Located, _ escape: Escape, _ target: Target, _ generation: Generation, _ exchange: Exchange) -> Int {
        switch escape {
        case .none: return Int(copy(value, target, generation, exchange).count)
        case .header:
            let range = copy(value, target, generation, exchange)
            if target == .request { Self.clean(range, &exchange.request.arena) } else { Self.clean(range, &exchange.response.arena) }
            return Int(range.count)
        case .path, .query, .segment, .location, .json, .html, .cookie: break
        }
        let before = mark(target, exchange)
        for offset in 0..<Int(value.range.count) {
            let byte = byte(value, offset, generation, exchange)
            if target == .request {
                Self.append(byte, escape, &exchange.request.arena)
            } else {
                Self.append(byte, escape, &exchange.response.arena)
            }
        }
        return mark(target, exchange) - before
    }

    private func byte(_ value: Located, _ offset: Int, _ generation: Generation, _ exchange: Exchange) -> UInt8 {
        let index = Int(value.range.start) + offset
        switch value.store {
        case .request: return exchange.request.arena[index]
        case .response: return exchange.response.arena[index]
        case .scratch: return scratch[index]
        case .captures: return captureText[index]
        case .constants: return generation.program.constants[index]
        case .variables: return Access.with(exchange.vars, value.range) { $0[offset] }
        }
    }

    private mutating func copy(_ value: Located, _ target: Target, _ generation: Generation, _ exchange: Exchange) -> ByteRange {
        switch (target, value.store) {
        case (.request, .request): return exchange.request.arena.append(copyOf: value.range)
        case (.response, .response): return exchange.response.arena.append(copyOf: value.range)
        case (.scratch, .scratch): return scratch.append(copyOf: value.range)
        case (.request, .scratch): return Access.copy(scratch, value.range, to: &exchange.request.arena)
        case (.response, .scratch): return Access.copy(scratch, value.range, to: &exchange.response.arena)
        case (.request, .captures): return Access.copy(captureText, value.range, to: &exchange.request.arena)
        case (.response, .captures): return Access.copy(captureText, value.range, to: &exchange.response.arena)
        case (.scratch, .captures): return Access.copy(captureText, value.range, to: &scratch)
        case (.request, .response): return Access.copy(exchange.response, value.range, to: &exchange.request.arena)
        case (.response, .request): return Access.copy(exchange.request, value.range, to: &exchange.response.arena)
        case (.scratch, .request): return Access.copy(exchange.request, value.range, to: &scratch)
        case (.scratch, .response): return Access.copy(exchange.response, value.range, to: &scratch)
        case (.request, .variables): return Access.copy(exchange.vars, value.range, to: &exchange.request.arena)
        case (.response, .variables): return Access.copy(exchange.vars, value.range, to: &exchange.response.arena)
        case (.scratch, .variables): return Access.copy(exchange.vars, value.range, to: &scratch)
        case (_, .constants):
            let constants = generation.program.constants
            switch target {
            case .request: return Access.copy(constants, value.range, to: &exchange.request.arena)
            case .response: return Access.copy(constants, value.range, to: &exchange.response.arena)
            case .scratch: return Access.copy(constants, value.range, to: &scratch)
            }
        }
    }

    // MARK: Escaping

    private static func clean(_ range: ByteRange, _ arena: inout ByteArena) {
        for index in Int(range.start)..<range.end where isControl(arena[index]) { arena[index] = UInt8(ascii: " ") }
    }

    private static func isControl(_ byte: UInt8) -> Bool { byte < 0x20 && byte != 9 || byte == 0x7f }

    private static func append(_ byte: UInt8, _ escape: Escape, _ arena: inout ByteArena) {
        if escape == .json {
            appendJSON(byte, &arena)
        } else if escape == .html {
            appendHTML(byte, &arena)
        } else if mustEncode(byte, escape) {
            arena.append(byte: UInt8(ascii: "%"))
            arena.append(byte: hexDigit(byte >> 4))
            arena.append(byte: hexDigit(byte & 15))
        } else {
            arena.append(byte: byte)
        }
    }

    private static func mustEncode(_ byte: UInt8, _ escape: Escape) -> Bool {
        if byte <= 0x20 || byte >= 0x7f { return true }
        if escape == .cookie {
            return byte == UInt8(ascii: "\"") || byte == UInt8(ascii: ",") || byte == UInt8(ascii: ";") || byte == UInt8(ascii: "\\")
        }
        switch byte {
        case UInt8(ascii: "#"), UInt8(ascii: "\""), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "\\"), UInt8(ascii: "^"),
            UInt8(ascii: "`"), UInt8(ascii: "{"), UInt8(ascii: "|"), UInt8(ascii: "}"):
            return true
        case UInt8(ascii: "?"): return escape == .path || escape == .segment
        case UInt8(ascii: "/"), UInt8(ascii: "%"): return escape == .segment
        default: return false
        }
    }

    private static func appendHTML(_ byte: UInt8, _ arena: inout ByteArena) {
        switch byte {
        case UInt8(ascii: "&"): _ = arena.append("&amp;")
        case UInt8(ascii: "<"): _ = arena.append("&lt;")
        case UInt8(ascii: ">"): _ = arena.append("&gt;")
        case UInt8(ascii: "\""): _ = arena.append("&quot;")
        case UInt8(ascii: "'"): _ = arena.append("&#39;")
        default: arena.append(byte: byte)
        }
    }

    private static func appendJSON(_ byte: UInt8, _ arena: inout ByteArena) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            arena.append(byte: UInt8(ascii: "\\"))
            arena.append(byte: byte)
        // Not every value is UTF-8, and JSON must be: other bytes are taken as Latin-1.
        case 0..<0x20, 0x7f...0xff:
            _ = arena.append("\\u00")
            arena.append(byte: hexDigit(byte >> 4))
            arena.append(byte: hexDigit(byte & 15))
        default: arena.append(byte: byte)
        }
    }

    private static func hexDigit(_ nibble: UInt8) -> UInt8 { nibble < 10 ? 48 + nibble : 55 + nibble }
}
