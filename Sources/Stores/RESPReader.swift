/// A value of Redis' protocol, version 2.
enum RESPValue: Sendable, Equatable {
    case text(String)
    case error(String)
    case number(Int)
    /// nil: there is none.
    case bytes([UInt8]?)
    case list([RESPValue]?)

    var content: [UInt8]? { if case .bytes(let bytes) = self { bytes } else { nil } }
}

/// An answer that no Redis sends; the connection cannot go on.
struct RESPError: Error, Equatable { let words: String }

/// Takes values out of the bytes of a connection as they become complete.
struct RESPReader {
    /// Bytes of one value, elements of a list, lists in lists, bytes of a line.
    static let largest = 32 << 20, mostElements = 16_384, deepest = 4, longestLine = 64 << 10

    private var bytes: [UInt8] = []
    private var start = 0
    /// Bytes that are wanted before another look makes sense.
    private var wanted = 0

    var unread: Int { bytes.count - start }

    mutating func append(_ more: borrowing Span<UInt8>) {
        if start > 0, start == bytes.count || start > 1 << 16 {
            bytes.removeFirst(start)
            start = 0
        }
        bytes.reserveCapacity(bytes.count + more.count)
        for index in 0..<more.count { bytes.append(more[index]) }
    }

    /// The next whole value; nil when more bytes are needed.
    mutating func next() throws(RESPError) -> RESPValue? {
        guard unread > 0, unread >= wanted else { return nil }
        wanted = 0
        var at = start
        guard let value = try value(&at, 0) else { return nil }
        start = at
        return value
    }

    private mutating func value(_ at: inout Int, _ depth: Int) throws(RESPError) -> RESPValue? {
        guard let line = try line(&at) else { return nil }
        let rest = line.dropFirst()
        switch line.first {
        case UInt8(ascii: "+"): return .text(String(decoding: rest, as: UTF8.self))
        case UInt8(ascii: "-"): return .error(String(decoding: rest, as: UTF8.self))
        case UInt8(ascii: ":"): return .number(try Self.number(rest))
        case UInt8(ascii: "$"): return try bulk(Self.number(rest), &at)
        case UInt8(ascii: "*"): return try list(Self.number(rest), &at, depth)
        default: throw RESPError(words: "an answer of no known kind")
        }
    }

    private mutating func bulk(_ count: Int, _ at: inout Int) throws(RESPError) -> RESPValue? {
        if count == -1 { return .bytes(nil) }
        guard (0...Self.largest).contains(count) else { throw RESPError(words: "a value of \(count) bytes") }
        guard bytes.count - at >= count + 2 else {
            wanted = at - start + count + 2
            return nil
        }
        guard bytes[at + count] == 13, bytes[at + count + 1] == 10 else { throw RESPError(words: "a value without its end") }
        defer { at += count + 2 }
        return .bytes(Array(bytes[at..<at + count]))
    }

    private mutating func list(_ count: Int, _ at: inout Int, _ depth: Int) throws(RESPError) -> RESPValue? {
        if count == -1 { return .list(nil) }
        guard (0...Self.mostElements).contains(count), depth < Self.deepest else { throw RESPError(words: "a list of \(count) elements, \(depth) deep") }
        var elements: [RESPValue] = []
        for _ in 0..<count {
            guard let element = try value(&at, depth + 1) else { return nil }
            elements.append(element)
        }
        return .list(elements)
    }

    /// Up to CR LF.
    private func line(_ at: inout Int) throws(RESPError) -> ArraySlice<UInt8>? {
        guard let end = bytes[at...].firstIndex(of: 10) else {
            if bytes.count - at > Self.longestLine { throw RESPError(words: "a line without end") }
            return nil
        }
        guard end > at, bytes[end - 1] == 13 else { throw RESPError(words: "a line that ends in LF alone") }
        defer { at = end + 1 }
        return bytes[at..<end - 1]
    }

    private static func number(_ digits: ArraySlice<UInt8>) throws(RESPError) -> Int {
        guard let number = Int(String(decoding: digits, as: UTF8.self)) else { throw RESPError(words: "a number that is none") }
        return number
    }
}

/// A command with its arguments.
struct RESPCommand: Sendable, Equatable {
    var words: [[UInt8]]

    init(_ words: [[UInt8]]) { self.words = words }
    init(_ name: String, _ arguments: [UInt8]...) { words = [Array(name.utf8)] + arguments }

    func append(to bytes: inout [UInt8]) {
        bytes += Array("*\(words.count)\r\n".utf8)
        for word in words {
            bytes += Array("$\(word.count)\r\n".utf8)
            bytes += word
            bytes += [13, 10]
        }
    }
}
