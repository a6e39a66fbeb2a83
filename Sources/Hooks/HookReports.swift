import Isolates

// Log lines, and where in a function's source something went wrong.
extension HookFunction {
    /// Passes a line on, bounded per call and without control characters.
    func log(_ level: Int, _ call: HookCall?, _ text: String) {
        let limit = source.limits.logBytes
        let used = call?.progress.logBytes ?? 0
        guard used < limit else {
            tally.logBytesDropped += UInt64(text.utf8.count)
            return
        }
        var line = escapedForLog(source.hidingSecrets(in: text))
        if used + line.utf8.count > limit {
            tally.logBytesDropped += UInt64(line.utf8.count - (limit - used))
            line = String(decoding: line.utf8.prefix(limit - used), as: UTF8.self) + "... [the call's log limit of \(limit) bytes was reached]"
        }
        call?.progress.logBytes = used + line.utf8.count
        host.log(min(max(level, 0), 3), function: self, call: call, text: line)
    }

    /// `file:line:column: message`, with the position in the function rather than in the prelude.
    func located(_ error: JSError) -> String {
        let (file, line, column) = written(position(of: error))
        let message = source.hidingSecrets(in: error.message)
        return line > 0 ? "\(file):\(line):\(column): \(message)" : message
    }
}

extension HookFunction {
    /// Where the author wrote what stands at a place of a module: itself, or what the module's source map says.
    func written(_ place: (file: String, line: Int, column: Int)) -> (file: String, line: Int, column: Int) {
        guard place.line > 0, let text = source.modules[place.file] else { return place }
        if maps[place.file] == nil { maps[place.file] = .some(SourceMap(of: text, at: place.file)) }
        return maps[place.file]??.original(line: place.line, column: place.column) ?? place
    }
}

/// The innermost frame that is the function's own code.
func position(of error: JSError) -> (file: String, line: Int, column: Int) {
    if error.line > 0, !error.file.isEmpty, error.file != HookPrelude.name { return (error.file, error.line, error.column) }
    for frame in error.stack.split(separator: "\n") {
        guard let found = framePosition(frame.drop { $0 == " " }), found.file != HookPrelude.name else { continue }
        return found
    }
    return ("", 0, 0)
}

/// `at name (file:line:column)` or `at file:line:column`
private func framePosition(_ frame: Substring) -> (file: String, line: Int, column: Int)? {
    guard frame.hasPrefix("at ") else { return nil }
    var place = frame.dropFirst(3)
    if place.hasSuffix(")"), let open = place.lastIndex(of: "(") { place = place[place.index(after: open)...].dropLast() }
    guard let columnMark = place.lastIndex(of: ":"), let column = Int(place[place.index(after: columnMark)...]) else { return nil }
    let rest = place[..<columnMark]
    guard let lineMark = rest.lastIndex(of: ":"), let line = Int(rest[rest.index(after: lineMark)...]) else { return nil }
    return (String(rest[..<lineMark]), line, column)
}

/// Control characters as escapes, so that a hook cannot forge log lines or talk to a terminal.
func escapedForLog(_ text: String) -> String {
    var out = ""
    out.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
        switch scalar.value {
        case 10: out += "\\n"
        case 13: out += "\\r"
        case 9: out += "\\t"
        case 0..<32, 127..<160, 0x2028, 0x2029:
            let digits = String(scalar.value, radix: 16)
            out += digits.count <= 2 ? "\\x" + (digits.count == 1 ? "0" : "") + digits : "\\u" + digits
        default: out.unicodeScalars.append(scalar)
        }
    }
    return out
}
