public import Codings

/// Which answers are compressed (`compress`).
public struct CompressSettings: Sendable {
    /// In order of preference between those a client likes equally.
    public var codings: [ContentCoding]
    /// Bytes; a known shorter body goes as it is.
    public var minimum: Int
    public var types: MediaTypes
}

/// `text/*` and the like, in lower case.
public struct MediaTypes: Sendable {
    /// What is text, whatever it is called, and the few binary formats that shrink.
    public static let textual = MediaTypes([
        "text/*", "application/json", "application/javascript", "application/x-javascript", "application/ecmascript",
        "application/xml", "application/xhtml+xml", "application/rss+xml", "application/atom+xml", "application/ld+json",
        "application/manifest+json", "application/problem+json", "application/graphql-response+json", "application/x-ndjson",
        "application/vnd.api+json", "application/yaml", "application/sql", "image/svg+xml",
    ])
    public static let compressible = MediaTypes(textual.written + [
        "application/wasm", "application/vnd.ms-fontobject", "application/x-font-ttf", "application/x-font-opentype",
        "font/ttf", "font/otf", "font/collection", "image/bmp", "image/x-icon", "image/vnd.microsoft.icon",
    ])

    public let written: [String]
    private let exact: [[UInt8]]
    /// `text/` for `text/*`, nothing for `*`.
    private let prefixes: [[UInt8]]

    public init(_ written: [String]) {
        self.written = written
        let lower = written.map { Array($0.lowercased().utf8) }
        let star = UInt8(ascii: "*")
        exact = lower.filter { $0.last != star }
        prefixes = lower.filter { $0.last == star }.map { $0 == Array("*/*".utf8) ? [] : Array($0.dropLast()) }
    }

    /// - Parameter value: a Content-Type; its parameters do not matter.
    public func contain(_ value: borrowing Span<UInt8>) -> Bool {
        var end = 0
        while end < value.count, value[end] != UInt8(ascii: ";"), value[end] != UInt8(ascii: " ") { end += 1 }
        for type in exact where type.count == end && MediaTypes.begins(value, with: type) { return true }
        for prefix in prefixes where prefix.count <= end && MediaTypes.begins(value, with: prefix) { return true }
        return false
    }

    private static func begins(_ value: borrowing Span<UInt8>, with text: [UInt8]) -> Bool {
        for index in text.indices {
            let byte = value[index]
            guard (byte &- 65 < 26 ? byte | 0x20 : byte) == text[index] else { return false }
        }
        return true
    }
}

/// Text that is replaced in bodies (`replace_body`).
public struct Replacement: Sendable {
    public var find: [UInt8]
    public var with: Template
}
