import Foundation
import Reactor
import Supervisor

enum ProbeConfiguration {
    static func load(_ path: String) throws(ConfigurationRejected) -> LoadedConfiguration {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ConfigurationRejected(diagnostics: "\(path): no such file")
        }
        var bundle = ConfigurationBundle(mainFile: path, listeners: [], files: [.init(path: path, bytes: Array(data))])
        for line in String(decoding: data, as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            switch words.first {
            case "listener":
                bundle.listeners.append(.init(name: words[1], address: words[2], port: UInt16(words[3]) ?? 0))
            case "admin": bundle.admin = words[1]
            case "function": bundle.functions.append(.init(name: words[1], fingerprint: UInt64(words[2]) ?? 0))
            case "broken": throw ConfigurationRejected(diagnostics: "\(path):1:1: \(words.dropFirst().joined(separator: " "))")
            default: break
            }
        }
        return LoadedConfiguration(bundle: bundle)
    }

    static func validate(_ bundle: ConfigurationBundle) throws(ConfigurationRejected) -> String {
        if has("crash", bundle) { abort() }
        return ""
    }

    /// Waits, like one that is slow, until somebody opens the pipe for writing and closes it again.
    static func passGate(_ bundle: ConfigurationBundle) {
        let text = String(decoding: bundle.file(bundle.mainFile) ?? [], as: UTF8.self)
        for line in text.split(separator: "\n") where line.hasPrefix("gate ") {
            _ = try? FileHandle(forReadingAtPath: String(line.dropFirst(5)))?.readToEnd()
        }
    }

    /// Milliseconds after which workers answer to a reload, while they go on serving.
    static func late(_ bundle: ConfigurationBundle) -> UInt64 {
        let text = String(decoding: bundle.file(bundle.mainFile) ?? [], as: UTF8.self)
        let line = text.split(separator: "\n").first { $0.hasPrefix("late ") }
        return line.flatMap { UInt64($0.dropFirst(5)) } ?? 0
    }

    static func has(_ word: String, _ bundle: ConfigurationBundle) -> Bool {
        let text = String(decoding: bundle.file(bundle.mainFile) ?? [], as: UTF8.self)
        return text.split(separator: "\n").contains { $0 == word }
    }
}
