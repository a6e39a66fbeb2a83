import Reactor
import Telemetry

/// Says what the gateway does: a line for people, or a JSON object per line, on standard error.
public final class OperationLog {
    public enum Format: String, Sendable, CaseIterable { case text, json }
    enum Level: String { case info, warning, error }

    /// A detail for machines.
    enum Value {
        case text(String)
        case number(Int)
    }

    private let format: Format
    private let file: LogFile?
    private var json = JSONLineWriter()

    /// - Parameter descriptor: standard error, except in tests.
    init(format: Format, descriptor: Int32 = 2) {
        self.format = format
        // Without a usable standard error there is nobody to tell.
        file = try? LogFile(inherited: descriptor)
    }

    func info(_ event: String, _ message: String, _ details: [(String, Value)] = []) {
        write(.info, event, message, details)
    }

    func warning(_ event: String, _ message: String, _ details: [(String, Value)] = []) {
        write(.warning, event, message, details)
    }

    func error(_ event: String, _ message: String, _ details: [(String, Value)] = []) {
        write(.error, event, message, details)
    }

    /// Tries again what could not be written.
    func flush() { file?.flush() }

    private func write(_ level: Level, _ event: String, _ message: String, _ details: [(String, Value)]) {
        let time = SystemClock.timestamp()
        switch format {
        case .text:
            let mark = level == .info ? "" : "\(level.rawValue): "
            let line = Array("\(time) sluice: \(mark)\(OperationLog.printable(message))\n".utf8)
            file?.append(line.span)
        case .json:
            json.reset()
            json.beginObject()
            json.field("time", time)
            json.field("level", level.rawValue)
            json.field("event", event)
            json.field("message", message)
            for (key, value) in details {
                switch value {
                case .text(let text): json.field(key, text)
                case .number(let number): json.field(key, number)
                }
            }
            json.endObject()
            json.endLine()
            file?.append(json.bytes)
        }
        file?.flush()
    }

    /// Names in messages come from files: nothing in them may drive a terminal.
    static func printable(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            let value = scalar.value
            if (value < 0x20 && value != 0x0A && value != 0x09) || (value >= 0x7F && value < 0xA0) {
                result += "\\u{\(String(value, radix: 16))}"
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
