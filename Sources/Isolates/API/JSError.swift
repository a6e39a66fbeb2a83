import CV8

/// What a script threw, or why it does not compile. Positions count from 1; 0 is unknown.
public final class JSError: Error, Sendable, CustomStringConvertible {
    public let message: String
    public let file: String
    public let line: Int
    public let column: Int
    /// The text of `line`, empty when unknown.
    public let sourceLine: String
    /// At most 16 KiB; empty for values that are no Error objects.
    public let stack: String

    public init(
        message: String, file: String = "", line: Int = 0, column: Int = 0, sourceLine: String = "", stack: String = ""
    ) {
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.sourceLine = sourceLine
        self.stack = stack
    }

    /// Takes the error over and frees it.
    convenience init(taking error: UnsafeMutablePointer<cv8_error>?) {
        guard let error = unsafe error else {
            self.init(message: "unknown error")
            return
        }
        // SAFETY: every text of a cv8_error is NUL-terminated UTF-8 and lives until cv8_error_free.
        unsafe self.init(
            message: String(cString: error.pointee.message), file: String(cString: error.pointee.file),
            line: Int(error.pointee.line), column: Int(error.pointee.column),
            sourceLine: String(cString: error.pointee.source_line), stack: String(cString: error.pointee.stack))
        unsafe cv8_error_free(error)
    }

    /// `file:line:column: message`
    public var description: String {
        if file.isEmpty { return message }
        return line > 0 ? "\(file):\(line):\(column): \(message)" : "\(file): \(message)"
    }
}

/// Why a script was stopped from outside.
public enum Termination: Int32, Sendable {
    /// The turn's CPU budget is used up.
    case cpu = 1
    /// The turn's wall deadline passed.
    case wall = 2
    /// The heap limit was reached. The isolate must be discarded.
    case heap = 3
    /// `Isolate.terminate()` or `NativeCall.terminate()`.
    case requested = 4
}

public enum CallFailure: Error {
    case threw(JSError)
    case terminated(Termination)
}
