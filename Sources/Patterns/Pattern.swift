import CRE2

/// Why a pattern was refused, in words for the rule author.
public struct PatternError: Error, Sendable, Equatable {
    /// One line without the pattern itself.
    public let message: String
}

/// Where a group matched: offsets into the text given to `firstMatch`.
public struct Capture: Sendable, Equatable {
    public var start: Int
    public var end: Int

    /// A group that took no part in the match.
    public static let unset = Capture(start: -1, end: -1)
    public var isSet: Bool { start >= 0 }
    public var count: Int { end - start }

    public init(start: Int, end: Int) {
        self.start = start
        self.end = end
    }
}

/// A compiled regular expression. Matching takes time linear in the text.
///
/// Anchors are not implied: `matches` looks for the pattern anywhere in the text.
@safe public final class Pattern: Sendable {
    /// Most groups a pattern may have.
    public static let maximumGroups = 32
    /// Most bytes a pattern may have.
    public static let maximumLength = 4096
    /// Bytes RE2 may use for one pattern's program and automatons.
    static let memoryBudget: Int64 = 2 << 20

    /// The pattern as written.
    public let text: String
    /// Names of the groups 1... in order; an unnamed group is an empty string.
    public let groupNames: [String]

    // SAFETY: RE2 objects are safe for concurrent use by any number of threads (re2.h); the pointer is made
    // in init, never changed, and freed in deinit when nobody can hold this object any more.
    nonisolated(unsafe) private let compiled: OpaquePointer

    /// Compiles `text`.
    public init(_ text: String, ignoringCase: Bool = false) throws(PatternError) {
        guard text.utf8.count <= Self.maximumLength else {
            throw PatternError(message: "the pattern is longer than \(Self.maximumLength) bytes")
        }
        let spelling = Self.translateNamedGroups(Array(text.utf8))
        let compiled = unsafe try Self.compile(spelling, ignoringCase: ignoringCase)
        // SAFETY: `compiled` is a live object that this initialiser owns until it stores or frees it.
        let count = unsafe Int(sluice_re2_group_count(compiled))
        guard count <= Self.maximumGroups else {
            // SAFETY: as above; it is not used again.
            unsafe sluice_re2_free(compiled)
            throw PatternError(message: "the pattern has \(count) groups, at most \(Self.maximumGroups) are allowed")
        }
        var names: [String] = []
        for index in 0..<count {
            // SAFETY: the name is a zero-terminated string that lives as long as `compiled`; it is copied here.
            names.append(unsafe String(cString: sluice_re2_group_name(compiled, Int32(index + 1))))
        }
        self.text = text
        groupNames = names
        unsafe self.compiled = compiled  // SAFETY: ownership moves into the object.
    }

    deinit {
        // SAFETY: the last reference is gone, so no match can be running.
        unsafe sluice_re2_free(compiled)
    }

    /// Whether the pattern occurs anywhere in `bytes`.
    public func matches(_ bytes: Span<UInt8>) -> Bool {
        // SAFETY: the buffer is valid for the call, RE2 keeps no pointer into it.
        unsafe bytes.withUnsafeBufferPointer { buffer in
            unsafe sluice_re2_match(compiled, buffer.baseAddress, buffer.count, nil, 0) != 0
        }
    }

    /// The leftmost match: element 0 is the whole match, then one element per group.
    /// Returns false, leaving `captures` empty, when there is none. Reuses the storage of `captures`.
    public func firstMatch(in bytes: Span<UInt8>, captures: inout [Capture]) -> Bool {
        captures.removeAll(keepingCapacity: true)
        let groups = groupNames.count + 1
        // SAFETY: `ranges` has room for two numbers per group, both buffers are valid for the call, and
        // RE2 keeps no pointer into either.
        return unsafe withUnsafeTemporaryAllocation(of: Int32.self, capacity: 2 * groups) { ranges in
            let found = unsafe bytes.withUnsafeBufferPointer { buffer in
                unsafe sluice_re2_match(
                    compiled, buffer.baseAddress, buffer.count, ranges.baseAddress, Int32(groups)) != 0
            }
            guard found else { return false }
            for group in 0..<groups {
                // SAFETY: a match writes all 2 * groups numbers.
                unsafe captures.append(Capture(start: Int(ranges[2 * group]), end: Int(ranges[2 * group + 1])))
            }
            return true
        }
    }

    private static func compile(_ spelling: [UInt8], ignoringCase: Bool) throws(PatternError) -> OpaquePointer {
        var message = [CChar](repeating: 0, count: 256)
        let capacity = message.count
        // SAFETY: both buffers are valid for the call; the error buffer is never empty, so its base exists.
        let compiled = unsafe message.withUnsafeMutableBufferPointer { error in
            unsafe spelling.withUnsafeBufferPointer { pattern in
                unsafe error.baseAddress.flatMap {
                    unsafe sluice_re2_compile(
                        pattern.baseAddress, pattern.count, ignoringCase ? 1 : 0, memoryBudget, $0, capacity)
                }
            }
        }
        if let compiled = unsafe compiled { return unsafe compiled }
        let text = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        throw PatternError(message: explain(String(decoding: text, as: UTF8.self)))
    }

    /// RE2's own words, with a remedy where an author coming from PCRE needs one.
    private static func explain(_ message: String) -> String {
        for lookaround in ["(?=", "(?!", "(?<"] where message.hasSuffix(lookaround) {
            return "look-around `\(lookaround)` is not available: patterns run in linear time"
        }
        if message.hasPrefix("invalid escape sequence: \\"), message.last?.isNumber == true {
            return "back-references are not available: patterns run in linear time"
        }
        return message
    }

    /// This RE2 knows only `(?P<name>`; authors write `(?<name>`. Escapes, classes and `\Q...\E` are left alone.
    static func translateNamedGroups(_ pattern: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(pattern.count + 8)
        var index = 0
        var inClass = false
        var quoted = false
        while index < pattern.count {
            let byte = pattern[index]
            let next = index + 1 < pattern.count ? pattern[index + 1] : 0
            if byte == UInt8(ascii: "\\") {
                if quoted { quoted = next != UInt8(ascii: "E") } else if !inClass { quoted = next == UInt8(ascii: "Q") }
                out.append(byte)
                if index + 1 < pattern.count { out.append(next) }
                index += 2
                continue
            }
            if !quoted {
                if inClass, let end = endOfName(pattern, at: index) {
                    out.append(contentsOf: pattern[index..<end])
                    index = end
                    continue
                }
                if inClass {
                    inClass = byte != UInt8(ascii: "]")
                } else if byte == UInt8(ascii: "[") {
                    inClass = true
                    // `[]a]` and `[^]a]`: a bracket right after the opening is a member.
                    let member = next == UInt8(ascii: "^") ? index + 2 : index + 1
                    if member < pattern.count, pattern[member] == UInt8(ascii: "]") {
                        out.append(contentsOf: pattern[index...member])
                        index = member + 1
                        continue
                    }
                }
                if !inClass, isNamedGroup(pattern, at: index) {
                    out.append(contentsOf: Array("(?P<".utf8))
                    index += 3
                    continue
                }
            }
            out.append(byte)
            index += 1
        }
        return out
    }

    /// One behind `[:alpha:]` inside of a class, whose bracket does not end the class; nil: no such name begins here.
    private static func endOfName(_ pattern: [UInt8], at index: Int) -> Int? {
        guard pattern[index...].starts(with: "[:".utf8) else { return nil }
        return (index + 2..<max(index + 2, pattern.count - 1)).first { pattern[$0...].starts(with: ":]".utf8) }.map { $0 + 2 }
    }

    private static func isNamedGroup(_ pattern: [UInt8], at index: Int) -> Bool {
        guard index + 3 < pattern.count, pattern[index] == UInt8(ascii: "("),
            pattern[index + 1] == UInt8(ascii: "?"), pattern[index + 2] == UInt8(ascii: "<")
        else { return false }
        return pattern[index + 3] != UInt8(ascii: "=") && pattern[index + 3] != UInt8(ascii: "!")
    }
}
