import Buffers
import HTTP

/// What a hook wants changed of its exchange, checked, and applied as a whole when the hook is done.
///
/// The prelude checks too and gives better messages; what is refused here cannot be reached by any script.
struct StagedEdits: ~Copyable {
    enum Action: Int32 { case clear, set, append, remove }

    struct Edit {
        var side: HookSide
        var action: Action
        /// Of the name.
        var id = FieldName.other
        var name: ByteRange
        var value: ByteRange
    }

    struct Target {
        var authority: ByteRange
        var path: ByteRange
        var query: ByteRange?
    }

    private(set) var arena = ByteArena(capacity: 256)
    /// The first `count` are staged; those behind them are left over from earlier calls.
    private var list: [Edit] = []
    private(set) var count = 0
    private(set) var method: ByteRange?
    private(set) var target: Target?
    private(set) var reason = ByteRange.empty
    private(set) var status = 0
    var requestBody = HookBody.unchanged
    var responseBody = HookBody.unchanged
    private var touched = false, touchesRequest = false

    mutating func reset() {
        guard touched else { return }
        touched = false
        touchesRequest = false
        arena.removeAll()
        count = 0
        method = nil
        target = nil
        reason = .empty
        status = 0
        requestBody = .unchanged
        responseBody = .unchanged
    }

    // MARK: Staging

    enum Verdict { case taken, refused, malformed }

    /// `refused`: the field is the gateway's own.
    mutating func add(
        _ action: Action, _ side: HookSide, _ name: borrowing Span<UInt8>, _ value: borrowing Span<UInt8>
    ) -> Verdict {
        touched = true
        if action == .clear {
            append(Edit(side: side, action: action, name: .empty, value: .empty))
            return .taken
        }
        guard isToken(name) else { return .malformed }
        return add(action, side, FieldName(matching: name), token: name, value)
    }

    /// The same for a name that was looked at before.
    /// - Precondition: `name` is a token, and `id` matches it. With `isKnown` the value is one that a field had.
    mutating func add(
        _ action: Action, _ side: HookSide, _ id: FieldName, token name: borrowing Span<UInt8>, _ value: borrowing Span<UInt8>,
        isKnown: Bool = false
    ) -> Verdict {
        touched = true
        guard isKnown || isFieldValue(value) else { return .malformed }
        if id.isFraming || (id == .host && side == .request) { return .refused }
        append(Edit(side: side, action: action, id: id, name: arena.append(name), value: arena.append(value)))
        return .taken
    }

    private mutating func append(_ edit: Edit) {
        if edit.side == .request { touchesRequest = true }
        if count < list.count { list[count] = edit } else { list.append(edit) }
        count &+= 1
    }

    /// - Precondition: `index` is below `count`.
    func edit(at index: Int) -> Edit {
        precondition(index < count)
        return list[index]
    }

    mutating func setMethod(_ name: borrowing Span<UInt8>) -> Bool {
        guard isToken(name), name.count <= 32 else { return false }
        switch Method(matching: name) {
        case .connect, .trace: return false
        default: break
        }
        (touched, touchesRequest) = (true, true)
        method = arena.append(name)
        return true
    }

    /// An absolute http(s) URL as the prelude's URL parser writes it; its fragment is dropped.
    mutating func setURL(_ url: borrowing Span<UInt8>) -> Bool {
        guard let parts = URLParts(url) else { return false }
        (touched, touchesRequest) = (true, true)
        let authority = arena.append(url.extracting(parts.authority))
        let path = parts.path.isEmpty ? arena.append("/") : arena.append(url.extracting(parts.path))
        let query = parts.query.map { arena.append(url.extracting($0)) }
        target = Target(authority: authority, path: path, query: query)
        return true
    }

    mutating func setStatus(_ value: Int, _ text: borrowing Span<UInt8>) -> Bool {
        guard (200...599).contains(value), isFieldValue(text) else { return false }
        touched = true
        status = value
        reason = arena.append(text)
        return true
    }

    mutating func switchProtocols() { status = 101 }

    mutating func setBody(_ side: HookSide, _ body: HookBody) {
        touched = true
        if side == .response { return responseBody = body }
        requestBody = body
        touchesRequest = true
    }

    // MARK: Applying

    /// All that was staged by a handler that lets the exchange go on. What becomes of its phase's body.
    func apply(_ phase: HookPhase, _ exchange: Exchange) -> HookBody {
        guard touched else { return .unchanged }
        if touchesRequest { applyRequest(&exchange.request) }
        guard phase == .response else { return requestBody }
        applyResponse(&exchange.response)
        return responseBody
    }

    func applyRequest(_ head: inout Head) {
        guard touched else { return }
        if let method { head.setMethod(arena[method]) }
        if let target { apply(target, &head) }
        applyFields(.request, &head)
        StagedEdits.apply(requestBody, &head)
    }

    private func apply(_ target: Target, _ head: inout Head) {
        let authority = arena[target.authority]
        if !head.bytes(head.authority).equals(authority) {
            head.authority = head.arena.append(authority)
            if head.contains(.host) { head.set(.host, authority) }
        }
        head.setPath(arena[target.path])
        if let query = target.query { head.setQuery(arena[query]) } else { head.removeQuery() }
    }

    func applyResponse(_ head: inout Head) {
        guard touched else { return }
        if status != 0 {
            if status != head.status || !reason.isEmpty { head.reason = head.arena.append(arena[reason]) }
            head.status = status
        }
        applyFields(.response, &head)
        StagedEdits.apply(responseBody, &head)
    }

    private func applyFields(_ side: HookSide, _ head: inout Head) {
        let staged = list.span
        for index in 0..<count where staged[index].side == side {
            let edit = staged[index]
            switch edit.action {
            case .clear: StagedEdits.clear(&head, keepHost: side == .request)
            case .set: head.set(edit.id, name: arena[edit.name], value: arena[edit.value])
            case .append: head.add(edit.id, name: arena[edit.name], value: arena[edit.value])
            case .remove: head.remove(named: arena[edit.name])
            }
        }
    }

    /// Framing and connection fields stay: they are the gateway's.
    private static func clear(_ head: inout Head, keepHost: Bool) {
        for index in head.fields.indices.reversed() {
            let id = head.fields[index].id
            if !(id.isFraming || (keepHost && id == .host)) { head.remove(at: index) }
        }
    }

    private static func apply(_ body: HookBody, _ head: inout Head) {
        switch body {
        case .unchanged: return
        case .none, .socket: head.body = .none
        case .bytes(let bytes): head.body = .known(bytes.count)
        case .stream(let length): head.body = length.map { .known($0) } ?? .unknown
        }
        head.remove(.contentLength)
        head.remove(.transferEncoding)
    }
}

/// RFC 9110 section 5.6.2.
func isToken(_ text: borrowing Span<UInt8>) -> Bool {
    guard text.count > 0 else { return false }
    // Letters, digits and "-": nearly every name ends there.
    for index in text.endOfName(from: 0)..<text.count {
        switch text[index] {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            continue
        case UInt8(ascii: "!"), UInt8(ascii: "#")...UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"),
            UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "^")...UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
            continue
        default: return false
        }
    }
    return true
}

/// RFC 9110 section 5.5: no control characters but HTAB.
func isFieldValue(_ text: borrowing Span<UInt8>) -> Bool { text.endOfText(from: 0) == text.count }

/// The parts of an absolute http(s) URL, as ranges of its text.
struct URLParts {
    let authority: Range<Int>
    let path: Range<Int>
    let query: Range<Int>?

    init?(_ url: borrowing Span<UInt8>) {
        let start = url.starts(with: Span("http://")) ? 7 : url.starts(with: Span("https://")) ? 8 : 0
        guard start > 0 else { return nil }
        var end = url.count, pathStart = -1, queryStart = -1
        for index in start..<url.count {
            let byte = url[index]
            guard byte > 0x20, byte < 0x7f else { return nil }
            if byte == UInt8(ascii: "#") {
                end = index
                break
            }
            if byte == UInt8(ascii: "?"), queryStart < 0 { queryStart = index }
            if byte == UInt8(ascii: "/"), pathStart < 0, queryStart < 0 { pathStart = index }
            if pathStart < 0, queryStart < 0, !URLParts.isAuthority(byte) { return nil }
        }
        let pathEnd = queryStart < 0 ? end : queryStart
        let authorityEnd = pathStart < 0 ? pathEnd : pathStart
        guard authorityEnd > start else { return nil }
        authority = start..<authorityEnd
        path = authorityEnd..<pathEnd
        query = queryStart < 0 ? nil : queryStart + 1..<end
    }

    /// Host and port; user names are refused.
    private static func isAuthority(_ byte: UInt8) -> Bool {
        byte != UInt8(ascii: "@") && byte != UInt8(ascii: "\\") && byte != UInt8(ascii: "<") && byte != UInt8(ascii: ">")
            && byte != UInt8(ascii: "^") && byte != UInt8(ascii: "|") && byte != UInt8(ascii: "\"")
    }
}
