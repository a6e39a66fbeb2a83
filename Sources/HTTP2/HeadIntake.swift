import Buffers
import HTTP

/// Builds a request head from decoded fields and holds them to RFC 9113 section 8 and to our limits. nghttp2 checks no fields of
/// requests (`makeServerSession`).
struct HeadIntake {
    enum Upgrade { case none, webSocket, other }

    enum Verdict {
        case fine
        /// The request is malformed: a stream error (RFC 9113 section 8.1.1).
        case malformed
    }

    private(set) var refusal: ErrorKind?
    /// What the client's `Priority` fields ask for; nil without one.
    private(set) var priority: Priority?
    /// Bytes that the DATA frames must come to; nil when the head does not say.
    private(set) var bodyBytes: Int?
    /// `:protocol` of an extended CONNECT (RFC 8441).
    private(set) var upgrade = Upgrade.none
    private var cookies = 0
    /// Pseudo-fields that were there, as bits.
    private var seen: UInt8 = 0
    /// A field that is none was there: no pseudo-field may follow.
    private var fieldsBegun = false

    /// Takes a whole head.
    mutating func take(
        _ collected: borrowing CollectedFields, endOfStream: Bool, into head: inout Head, _ limits: HTTP2Limits
    ) -> Verdict {
        guard case .fine = take(collected, into: &head, limits) else { return .malformed }
        return complete(&head, endOfStream: endOfStream)
    }

    private mutating func take(_ collected: borrowing CollectedFields, into head: inout Head, _ limits: HTTP2Limits) -> Verdict {
        if collected.isTooLarge { refusal = .headTooLarge }
        // The lines as they are: what follows are ranges of them.
        var start = Int(head.arena.append(collected.lines).start)
        for index in 0..<collected.count {
            let lengths = collected.lengths(of: index)
            let name = ByteRange(start: start, count: lengths.name)
            let value = ByteRange(start: start + lengths.name + 2, count: lengths.value)
            start = value.end + 2
            guard take(name, value, into: &head, limits) else { return .malformed }
        }
        return .fine
    }

    /// False: the request is malformed.
    private mutating func take(_ name: ByteRange, _ value: ByteRange, into head: inout Head, _ limits: HTTP2Limits) -> Bool {
        if !name.isEmpty, head.arena[Int(name.start)] == UInt8(ascii: ":") { return takePseudo(name, value, into: &head, limits) }
        fieldsBegun = true
        // A known name in lower case needs no further look.
        let id = FieldName(matchingLower: head.bytes(name))
        guard id != .other || FieldRules.isName(head.bytes(name)), FieldRules.isValue(head.bytes(value)) else { return false }
        if Int(name.count) + Int(value.count) > limits.fieldBytes {
            refusal = refusal ?? .headTooLarge
            return true
        }
        guard !FieldRules.isOfConnection(id, head.bytes(value)) else { return false }
        head.appendField(id, name: name, value: value)
        switch id {
        case .cookie: cookies += 1
        case .other where head.bytes(name).equals("priority"):
            var asked = priority ?? Priority()
            asked.read(head.bytes(value))
            priority = asked
        default: break
        }
        if head.fields.count > limits.headerFields { refusal = refusal ?? .headTooLarge }
        return true
    }

    private enum Pseudo: UInt8 { case method = 1, path = 2, authority = 4, scheme = 8, upgrade = 16 }

    private static func pseudo(_ name: borrowing Span<UInt8>) -> Pseudo? {
        switch name.count {
        case 5: name.equals(":path") ? .path : nil
        case 7: name.equals(":method") ? .method : name.equals(":scheme") ? .scheme : nil
        case 9: name.equals(":protocol") ? .upgrade : nil
        case 10: name.equals(":authority") ? .authority : nil
        default: nil
        }
    }

    private func has(_ pseudo: Pseudo) -> Bool { seen & pseudo.rawValue != 0 }

    private mutating func takePseudo(_ name: ByteRange, _ value: ByteRange, into head: inout Head, _ limits: HTTP2Limits) -> Bool {
        guard !fieldsBegun, let pseudo = HeadIntake.pseudo(head.bytes(name)), !has(pseudo) else { return false }
        seen |= pseudo.rawValue
        switch pseudo {
        case .method:
            guard !value.isEmpty, value.count <= 32, allBytes(head.bytes(value), .token) else { return false }
            head.setMethod(range: value)
        case .path: return takePath(value, into: &head, limits)
        case .authority:
            guard !value.isEmpty, Authority.isValid(head.bytes(value)) else { return false }
            head.authority = value
        case .scheme:
            let isSecure = head.bytes(value).equalsIgnoringCase("https")
            guard isSecure || head.bytes(value).equalsIgnoringCase("http") else { return false }
            head.scheme = isSecure ? .https : .http
        case .upgrade:
            guard !value.isEmpty, FieldRules.isValue(head.bytes(value)) else { return false }
            upgrade = head.bytes(value).equalsIgnoringCase("websocket") ? .webSocket : .other
        }
        return true
    }

    /// Origin form, or `*` (RFC 9113 section 8.3.1).
    private mutating func takePath(_ value: ByteRange, into head: inout Head, _ limits: HTTP2Limits) -> Bool {
        guard value.count <= limits.pathBytes else {
            refusal = refusal ?? .uriTooLong
            return true
        }
        guard isTarget(head.bytes(value)) else { return false }
        let mark = head.bytes(value).firstIndex(of: UInt8(ascii: "?"))
        head.path = mark.map { value.prefix($0) } ?? value
        if let mark { head.query = value.dropFirst(mark + 1) }
        head.hasQuery = mark != nil
        return true
    }

    private func isTarget(_ text: borrowing Span<UInt8>) -> Bool {
        text.count > 0 && allBytes(text, .target) && (text[0] == UInt8(ascii: "/") || text.equals("*"))
    }

    /// Decides what only the whole head shows.
    private mutating func complete(_ head: inout Head, endOfStream: Bool) -> Verdict {
        head.version = .http2
        guard refusal == nil else { return .fine }
        guard arePseudoFieldsComplete(head), agreeOnHost(&head) else { return .malformed }
        if has(.path), head.bytes(head.path).equals("*"), head.method != .options { return .malformed }
        if upgrade != .none, endOfStream || head.contains(.contentLength) { return .malformed }
        if cookies > 1 { joinCookies(&head) }
        return decideBody(&head, endOfStream) ? .fine : .malformed
    }

    /// Which pseudo-fields there must be and which not (RFC 9113 sections 8.3.1 and 8.5, RFC 8441 section 4). Host may stand for
    /// the authority, except where a tunnel is asked for.
    private func arePseudoFieldsComplete(_ head: borrowing Head) -> Bool {
        guard has(.method) else { return false }
        guard head.method == .connect else { return has(.path) && has(.scheme) && !has(.upgrade) }
        guard has(.authority) else { return false }
        return has(.upgrade) ? has(.path) && has(.scheme) : !has(.path) && !has(.scheme)
    }

    /// `:authority` and Host must say the same; the head gets both (RFC 9113 section 8.3.1).
    private func agreeOnHost(_ head: inout Head) -> Bool {
        guard let first = head.firstIndex(of: .host) else {
            guard !head.authority.isEmpty else { return false }
            head.add(.host, range: head.authority)
            return true
        }
        let host = head.fields[first].value
        guard head.firstIndex(of: .host, from: first + 1) == nil, !host.isEmpty, Authority.isValid(head.bytes(host))
        else { return false }
        if head.authority.isEmpty {
            head.authority = host
            return true
        }
        return head.bytes(host).equalsIgnoringCase(head.bytes(head.authority))
    }

    /// Crumbs become one field (RFC 9113 section 8.2.3).
    private func joinCookies(_ head: inout Head) {
        guard let first = head.firstIndex(of: .cookie) else { return }
        let mark = head.arena.count
        var next: Int? = first
        while let index = next {
            if index != first { _ = head.arena.append("; ") }
            _ = head.arena.append(copyOf: head.fields[index].value)
            next = head.firstIndex(of: .cookie, from: index + 1)
        }
        head.setValue(at: first, range: head.arena.range(since: mark))
        while let extra = head.firstIndex(of: .cookie, from: first + 1) { head.remove(at: extra) }
    }

    private mutating func decideBody(_ head: inout Head, _ endOfStream: Bool) -> Bool {
        var length: Int?
        if let index = head.firstIndex(of: .contentLength) {
            guard head.firstIndex(of: .contentLength, from: index + 1) == nil,
                let value = head.bytes(head.fields[index].value).decimal()
            else { return false }
            length = value
        }
        if endOfStream {
            head.body = .none
            return (length ?? 0) == 0
        }
        head.body = length.map { $0 == 0 ? .none : .known($0) } ?? .unknown
        // What follows a CONNECT are a tunnel's bytes.
        bodyBytes = head.method == .connect ? nil : length
        return true
    }

    private func allBytes(_ text: borrowing Span<UInt8>, _ set: ASCIISet) -> Bool {
        for index in text.indices where !set.contains(text[index]) { return false }
        return true
    }
}

/// Trailers have limits of their own, and may not say what only a head may (RFC 9110 section 6.5.1).
struct TrailerIntake {
    private var bytes = 0

    /// False: the trailers are refused.
    mutating func take(
        _ name: borrowing Span<UInt8>, _ value: borrowing Span<UInt8>, into head: inout Head, _ limits: HTTP2Limits
    ) -> Bool {
        bytes += name.count + value.count + 32
        guard bytes <= limits.trailerBytes, head.fields.count < limits.trailerFields else { return false }
        // No pseudo-fields either: no name begins with a colon.
        guard FieldRules.isName(name), FieldRules.isValue(value) else { return false }
        let id = FieldName(matching: name)
        guard !FieldRules.isOfConnection(id, value) else { return false }
        let nameRange = head.arena.append(name)
        head.appendField(id, name: nameRange, value: head.arena.append(value))
        switch id {
        case .contentLength, .host, .authorization, .cookie, .te, .trailer, .expect: return false
        default: return true
        }
    }
}
