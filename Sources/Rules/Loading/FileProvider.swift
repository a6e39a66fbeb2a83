import Buffers
import Foundation

/// Why a file could not be had.
public enum FileFailure: Error, Sendable, Equatable {
    case missing
    /// In words: "permission denied", "is a directory", "larger than 8 MiB".
    case unreadable(String)
}

/// Where the loader gets files from: the disk, or a bundle that another process read.
public protocol FileProvider: Sendable {
    /// The whole file, refused when larger than `limit` bytes.
    func read(_ path: String, limit: Int) throws(FileFailure) -> [UInt8]
    /// Whether `read` could succeed; used for files that are opened later by others (certificates, logs).
    func exists(_ path: String) -> Bool
    /// Paths that match a pattern with `*` and `?` in its last component, sorted.
    func matching(_ pattern: String) -> [String]
}

/// The real files.
public struct DiskFiles: FileProvider {
    public init() {}

    public func read(_ path: String, limit: Int) throws(FileFailure) -> [UInt8] {
        guard FileManager.default.fileExists(atPath: path) else { throw .missing }
        guard let handle = FileHandle(forReadingAtPath: path) else { throw .unreadable("permission denied") }
        defer { try? handle.close() }
        do {
            let data = try handle.read(upToCount: limit + 1) ?? Data()
            if data.count > limit { throw FileFailure.unreadable("it is larger than \(Units.describe(bytes: limit))") }
            return Array(data)
        } catch let failure as FileFailure {
            throw failure
        } catch {
            let isDirectory = (try? FileManager.default.contentsOfDirectory(atPath: path)) != nil
            throw .unreadable(isDirectory ? "it is a directory" : error.localizedDescription)
        }
    }

    public func exists(_ path: String) -> Bool { FileManager.default.isReadableFile(atPath: path) }

    public func matching(_ pattern: String) -> [String] {
        let (directory, last) = Paths.split(pattern)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.isEmpty ? "." : directory)) ?? []
        return names.filter { !$0.hasPrefix(".") && Wildcard.matches($0, pattern: last) }.sorted()
            .map { Paths.join(directory, $0) }
    }
}

/// Files held in memory: tests, and the bundle a supervisor hands to its workers.
public struct FileBundle: FileProvider {
    public var files: [String: [UInt8]]
    /// Files that exist for `exists` although their content is not here.
    public var known: Set<String>

    public init(files: [String: [UInt8]], known: Set<String> = []) {
        self.files = files
        self.known = known
    }

    /// Texts by path.
    public init(_ texts: [String: String]) {
        self.init(files: texts.mapValues { Array($0.utf8) })
    }

    public func read(_ path: String, limit: Int) throws(FileFailure) -> [UInt8] {
        guard let bytes = files[path] else { throw .missing }
        if bytes.count > limit { throw .unreadable("it is larger than \(Units.describe(bytes: limit))") }
        return bytes
    }

    public func exists(_ path: String) -> Bool { files[path] != nil || known.contains(path) }

    public func matching(_ pattern: String) -> [String] {
        let (directory, last) = Paths.split(pattern)
        return files.keys.filter {
            let (parent, name) = Paths.split($0)
            return parent == directory && !name.hasPrefix(".") && Wildcard.matches(name, pattern: last)
        }.sorted()
    }
}

/// Passes on to another provider and keeps what was read, so that a worker can load from exactly those bytes.
public final class RecordingFiles: FileProvider {
    private let base: any FileProvider
    private let recorded = Guarded(FileBundle(files: [:]))

    public init(_ base: any FileProvider) { self.base = base }

    /// Everything read so far.
    public var bundle: FileBundle { recorded.withLock { $0 } }

    public func read(_ path: String, limit: Int) throws(FileFailure) -> [UInt8] {
        let bytes = try base.read(path, limit: limit)
        recorded.withLock { $0.files[path] = bytes }
        return bytes
    }

    public func exists(_ path: String) -> Bool {
        guard base.exists(path) else { return false }
        recorded.withLock { _ = $0.known.insert(path) }
        return true
    }

    public func matching(_ pattern: String) -> [String] { base.matching(pattern) }
}

/// Paths as text: no file system behind them.
enum Paths {
    /// `("a/b", "c")` for `a/b/c`; `("", "c")` for `c`; `("/", "c")` for `/c`.
    static func split(_ path: String) -> (directory: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return ("", path) }
        let directory = slash == path.startIndex ? "/" : String(path[..<slash])
        return (directory, String(path[path.index(after: slash)...]))
    }

    /// `name` as seen from `directory`, with `.` and `..` worked out.
    static func join(_ directory: String, _ name: String) -> String {
        let whole = name.hasPrefix("/") || directory.isEmpty ? name : directory + "/" + name
        var parts: [Substring] = []
        for part in whole.split(separator: "/", omittingEmptySubsequences: true) where part != "." {
            if part == "..", let last = parts.last, last != ".." { parts.removeLast() } else { parts.append(part) }
        }
        return (whole.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
    }
}
