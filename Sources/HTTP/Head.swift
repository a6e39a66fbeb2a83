public import Buffers

/// The protocol a message arrived or leaves in.
public enum HTTPVersion: UInt8, Sendable {
    case http10, http11, http2
}

public enum Scheme: UInt8, Sendable {
    case http, https

    public var text: StaticString { self == .http ? "http" : "https" }
}

/// How the end of a message's body is known (RFC 9112 section 6.3; HTTP/2 maps onto the same cases).
public enum BodyLength: Sendable, Equatable {
    case none
    /// Content-Length, in bytes; more than 0 or an explicit 0.
    case known(Int)
    /// Chunked coding, or HTTP/2 DATA without a content-length.
    case unknown
    /// A response that ends when its connection closes.
    case untilClose
}

/// One field line: ranges of name and value in the head's arena.
public struct Field: Sendable {
    public var id: FieldName
    public var name: ByteRange
    public var value: ByteRange
}

/// A request or response head, neutral of protocol.
///
/// All text is in one arena that only grows until `reset`, so ranges taken earlier (for instance what
/// the client originally sent) stay valid after rules and hooks changed the head. Reused between
/// exchanges: a warm head allocates nothing.
public struct Head: ~Copyable {
    public var arena: ByteArena
    public private(set) var fields: [Field] = []
    /// Known names that were added since `reset`, as bits: most that are asked for are not there, and that is answered without
    /// looking through all fields. One that was removed stays.
    private var known: UInt64 = 0
    public var version = HTTPVersion.http11
    public var body = BodyLength.none

    // Request line, or the pseudo-fields of HTTP/2.
    public var method = Method.get
    public var methodName = ByteRange.empty
    public var scheme = Scheme.http
    /// Host and optional port as the request named them.
    public var authority = ByteRange.empty
    /// Begins with `/`, or is `*` for `OPTIONS *`.
    public var path = ByteRange.empty
    /// Without the `?`.
    public var query = ByteRange.empty
    /// A target `/a?` has an empty query but has one.
    public var hasQuery = false

    // Status line.
    public var status = 0
    public var reason = ByteRange.empty

    public init() {
        arena = ByteArena()
        fields.reserveCapacity(32)
    }

    /// One that mostly stays empty: it takes room when it has something to hold.
    /// - Parameter capacity: bytes of text that it has room for from the start.
    public init(capacity: Int) { arena = ByteArena(capacity: capacity) }

    public mutating func reset() {
        arena.removeAll()
        if !fields.isEmpty { fields.removeAll(keepingCapacity: true) }
        known = 0
        version = .http11
        body = .none
        method = .get
        methodName = .empty
        scheme = .http
        authority = .empty
        path = .empty
        query = .empty
        hasQuery = false
        status = 0
        reason = .empty
    }

    @inlinable
    @inline(__always)
    @_lifetime(borrow self)
    public borrowing func bytes(_ range: ByteRange) -> Span<UInt8> { arena[range] }

    /// Text of a range, for messages and tests; not for the data path.
    public borrowing func text(_ range: ByteRange) -> String { arena[range].text() }

    // MARK: Reading fields

    /// The index of the first field with this name at or after `from`.
    public borrowing func firstIndex(of id: FieldName, from: Int = 0) -> Int? {
        guard known & Head.bit(id) != 0 else { return nil }
        var index = from
        while index < fields.count {
            if fields[index].id == id { return index }
            index += 1
        }
        return nil
    }

    /// The same by text, without case. Finds known names too.
    public borrowing func firstIndex(named name: borrowing Span<UInt8>, from: Int = 0) -> Int? {
        firstIndex(of: FieldName(matching: name), named: name, from: from)
    }

    /// The same where the name was matched before.
    /// - Precondition: `id` is `FieldName(matching: name)`.
    public borrowing func firstIndex(of id: FieldName, named name: borrowing Span<UInt8>, from: Int = 0) -> Int? {
        if id != .other { return firstIndex(of: id, from: from) }
        var index = from
        while index < fields.count {
            if fields[index].id == .other, arena[fields[index].name].equalsIgnoringCase(name) { return index }
            index += 1
        }
        return nil
    }

    public borrowing func value(of id: FieldName) -> ByteRange? {
        firstIndex(of: id).map { fields[$0].value }
    }

    public borrowing func value(named name: borrowing Span<UInt8>) -> ByteRange? {
        firstIndex(named: name).map { fields[$0].value }
    }

    /// The first value as text, for tests and messages.
    public borrowing func text(of name: String) -> String? {
        var lookup = ByteArena(capacity: 64)
        let range = lookup.append(name)
        return value(named: lookup[range]).map { text($0) }
    }

    public borrowing func contains(_ id: FieldName) -> Bool { firstIndex(of: id) != nil }

    // MARK: Writing fields

    @inline(__always)
    private static func bit(_ id: FieldName) -> UInt64 { 1 &<< UInt64(id.rawValue) }

    @inline(__always)
    private mutating func push(_ id: FieldName, _ name: ByteRange, _ value: ByteRange) {
        known |= Head.bit(id)
        fields.append(Field(id: id, name: name, value: value))
    }

    /// Adds a field whose name and value are already in the arena (the codecs' way in).
    @inline(__always)
    public mutating func appendField(name: ByteRange, value: ByteRange) {
        push(FieldName(matching: arena[name]), name, value)
    }

    /// The same for a codec that reads names before their text is in the arena.
    /// - Precondition: `id` is `FieldName(matching:)` of the text that will be at `name`.
    @inline(__always)
    public mutating func appendField(_ id: FieldName, name: ByteRange, value: ByteRange) {
        push(id, name, value)
    }

    public mutating func add(_ id: FieldName, _ value: borrowing Span<UInt8>) {
        let line = arena.append(line: Span(id.text), value)
        push(id, line.name, line.value)
    }

    public mutating func add(_ id: FieldName, _ value: StaticString) { add(id, Span(value)) }

    /// Adds a field whose value is already in the arena. It is copied: as a line beside other lines the field is written in one
    /// piece with them.
    public mutating func add(_ id: FieldName, range value: ByteRange) {
        let line = arena.append(line: Span(id.text), copyOf: value)
        push(id, line.name, line.value)
    }

    public mutating func add(name: borrowing Span<UInt8>, value: borrowing Span<UInt8>) {
        add(FieldName(matching: name), name: name, value: value)
    }

    /// - Precondition: `id` is `FieldName(matching: name)`.
    public mutating func add(_ id: FieldName, name: borrowing Span<UInt8>, value: borrowing Span<UInt8>) {
        let line = arena.append(line: name, value)
        push(id, line.name, line.value)
    }

    /// Replaces the first field of this name, removes further ones, or adds it.
    public mutating func set(_ id: FieldName, _ value: borrowing Span<UInt8>) {
        guard let first = firstIndex(of: id) else { return add(id, value) }
        fields[first].value = arena.append(value)
        removeAll(id, after: first)
    }

    /// Replaces the first field of this name by text that is already in the arena, removes further ones, or adds it.
    public mutating func set(_ id: FieldName, range value: ByteRange) {
        guard let first = firstIndex(of: id) else { return add(id, range: value) }
        fields[first].value = value
        removeAll(id, after: first)
    }

    public mutating func set(_ id: FieldName, _ value: StaticString) { set(id, Span(value)) }

    public mutating func set(name: borrowing Span<UInt8>, value: borrowing Span<UInt8>) {
        set(FieldName(matching: name), name: name, value: value)
    }

    /// - Precondition: `id` is `FieldName(matching: name)`.
    public mutating func set(_ id: FieldName, name: borrowing Span<UInt8>, value: borrowing Span<UInt8>) {
        guard let first = firstIndex(of: id, named: name) else { return add(id, name: name, value: value) }
        fields[first].value = arena.append(value)
        var index = first + 1
        while let next = firstIndex(of: id, named: name, from: index) {
            fields.remove(at: next)
            index = next
        }
    }

    /// Replaces a value with text that is already in the arena.
    public mutating func setValue(at index: Int, range: ByteRange) { fields[index].value = range }

    @discardableResult
    public mutating func remove(_ id: FieldName) -> Bool {
        guard let first = firstIndex(of: id) else { return false }
        removeAll(id, after: first - 1)
        return true
    }

    @discardableResult
    public mutating func remove(named name: borrowing Span<UInt8>) -> Bool {
        var found = false
        var index = 0
        while let next = firstIndex(named: name, from: index) {
            fields.remove(at: next)
            index = next
            found = true
        }
        return found
    }

    public mutating func remove(at index: Int) { fields.remove(at: index) }

    public mutating func removeAllFields() { fields.removeAll(keepingCapacity: true) }

    private mutating func removeAll(_ id: FieldName, after index: Int) {
        var at = index + 1
        while let next = firstIndex(of: id, from: at) {
            fields.remove(at: next)
            at = next
        }
    }

    // MARK: Request line

    /// Sets the method from its name (RFC 9110 section 9).
    public mutating func setMethod(_ name: borrowing Span<UInt8>) {
        method = Method(matching: name)
        methodName = arena.append(name)
    }

    /// The same for a name that is already in the arena.
    public mutating func setMethod(range: ByteRange) {
        method = Method(matching: arena[range])
        methodName = range
    }

    public mutating func setPath(_ bytes: borrowing Span<UInt8>) { path = arena.append(bytes) }

    /// - Parameter bytes: without the `?`.
    public mutating func setQuery(_ bytes: borrowing Span<UInt8>) {
        query = arena.append(bytes)
        hasQuery = true
    }

    public mutating func removeQuery() {
        query = .empty
        hasQuery = false
    }

    /// The host of the authority without its port.
    public borrowing func host() -> ByteRange {
        let text = arena[authority]
        if text.count > 0, text[0] == UInt8(ascii: "[") {
            guard let close = text.firstIndex(of: UInt8(ascii: "]")) else { return authority }
            return authority.prefix(close + 1)
        }
        guard let colon = text.firstIndex(of: UInt8(ascii: ":")) else { return authority }
        return authority.prefix(colon)
    }

    /// Copies everything from another head (its text too).
    public mutating func copy(from other: borrowing Head) {
        reset()
        version = other.version
        body = other.body
        method = other.method
        methodName = arena.append(other.arena[other.methodName])
        scheme = other.scheme
        authority = arena.append(other.arena[other.authority])
        path = arena.append(other.arena[other.path])
        query = arena.append(other.arena[other.query])
        hasQuery = other.hasQuery
        status = other.status
        reason = arena.append(other.arena[other.reason])
        for field in other.fields {
            let name = arena.append(other.arena[field.name])
            push(field.id, name, arena.append(other.arena[field.value]))
        }
    }
}
