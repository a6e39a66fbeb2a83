import Buffers
import HTTP

/// Builds a request head from decoded fields and holds them to RFC 9113 section 8 and to our limits.
///
/// nghttp2 has checked names, values, order and number of pseudo-fields; what it leaves open is decided here.
struct HeadIntake {
    enum Upgrade { case none, webSocket, other }

    enum Verdict {
        case fine
        /// The request is malformed: a stream error (RFC 9113 section 8.1.1).
        case malformed
    }

    private(set) var refusal: ErrorKind?
    private(set) var hasPriority = false
    /// `:protocol` of an extended CONNECT (RFC 8441).
    private(set) var upgrade = Upgrade.none
    private var cookies = 0
    private var pathSeen = false

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
        if Int(name.count) + Int(value.count) > limits.fieldBytes {
            refusal = refusal ?? .headTooLarge
            return true
        }
        let id = FieldName(matching: head.bytes(name))
        head.appendField(id, name: name, value: value)
        switch id {
        case .cookie: cookies += 1
        case .http2Settings: return false
        case .other where head.bytes(name).equals("priority"): hasPriority = true
        default: break
        }
        if head.fields.count > limits.headerFields { refusal = refusal ?? .headTooLarge }
        return true
    }

    private enum Pseudo { case method, path, authority, scheme, upgrade }

    private static func pseudo(_ name: borrowing Span<UInt8>) -> Pseudo? {
        if name.equals(":method") { return .method }
        if name.equals(":path") { return .path }
        if name.equals(":authority") { return .authority }
        if name.equals(":scheme") { return .scheme }
        return name.equals(":protocol") ? .upgrade : nil
    }

    private mutating func takePseudo(_ name: ByteRange, _ value: ByteRange, into head: inout Head, _ limits: HTTP2Limits) -> Bool {
        switch HeadIntake.pseudo(head.bytes(name)) {
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
        case .upgrade: upgrade = head.bytes(value).equalsIgnoringCase("websocket") ? .webSocket : .other
        case nil: return false
        }
        return true
    }

    /// Origin form, or `*` (RFC 9113 section 8.3.1).
    private mutating func takePath(_ value: ByteRange, into head: inout Head, _ limits: HTTP2Limits) -> Bool {
        guard value.count <= limits.pathBytes else {
            refusal = refusal ?? .uriTooLong
            return true
        }
        pathSeen = true
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
        if pathSeen, head.bytes(head.path).equals("*"), head.method != .options { return .malformed }
        guard agreeOnHost(&head) else { return .malformed }
        if upgrade != .none {
            // nghttp2 lets `:protocol` pass with CONNECT, a path and a scheme only.
            guard head.method == .connect, !endOfStream, !head.contains(.contentLength) else { return .malformed }
        }
        if cookies > 1 { joinCookies(&head) }
        return decideBody(&head, endOfStream) ? .fine : .malformed
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

    private func decideBody(_ head: inout Head, _ endOfStream: Bool) -> Bool {
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
        let nameRange = head.arena.append(name)
        head.appendField(name: nameRange, value: head.arena.append(value))
        switch head.fields[head.fields.count - 1].id {
        case .contentLength, .host, .transferEncoding, .authorization, .cookie, .te, .trailer, .expect: return false
        default: return true
        }
    }
}
