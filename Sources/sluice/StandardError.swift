import Foundation

/// Words for the operator that are not part of a command's result.
enum StandardError {
    static func print(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
}
