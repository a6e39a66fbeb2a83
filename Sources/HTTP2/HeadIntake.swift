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
        /// Far beyond the limit: the connection is not worth keeping.
        case hostile
    }

    /// Decoded size: name, value and 32 per field (RFC 9113 section 6.5.2).
    private(set) var bytes = 0
    private(set) var count = 0
    private(set) var refusal: ErrorKind?
    private(set) var hasPriority = false
    /// `:protocol` of an extended CONNECT (RFC 8441).
    private(set) var upgrade = Upgrade.none
    private var cookies = 0
    private var pathSeen = false

    /// Takes one field.
    mutating func take(
        _ name: borrowing Span<UInt8>, _ value: borrowing Span<UInt8>, into head: inout Head, _ limits: HTTP2Limits
    ) -> Verdict {
        bytes += name.count + value.count + 32
        count += 1
        // A head beyond the limit is still decoded, to keep the compression state, but not stored.
        if bytes > limits.headerListBytes || count > limits.headerFields + 4 {
            if bytes > 4 * limits.headerListBytes || count > 4 * limits.headerFields { return .hostile }
            refusal = refusal ?? .headTooLarge
            return .fine
        }
        if name.count > 0, name[0] == UInt8(ascii: ":") { return takePseudo(name, value, into: &head, limits) }
        if name.count + value.count > limits.fieldBytes {
            refusal = refusal ?? .headTooLarge
            return .fine
        }
        let nameRange = head.arena.append(name)
        head.appendField(name: nameRange, value: head.arena.append(value))
        switch head.fields[head.fields.count - 1].id {
        case .cookie: cookies += 1
        case .http2Settings: return .malformed
        case .other where name.equals("priority"): hasPriority = true
        default: break
        }
        if head.fields.count > limits.headerFields { refusal = refusal ?? .headTooLarge }
        return .fine
    }

    private mutating func takePseudo(
        _ name: borrowing Span<UInt8>, _ value: borrowing Span<UInt8>, into head: inout Head, _ limits: HTTP2Limits
    ) -> Verdict {
        if name.equals(":method") {
            guard value.count > 0, value.count <= 32, allBytes(value, .token) else { return .malformed }
            head.setMethod(value)
        } else if name.equals(":path") {
            return takePath(value, into: &head, limits)
        } else if name.equals(":authority") {
            guard value.count > 0, Authority.isValid(value) else { return .malformed }
            head.authority = head.arena.append(value)
        } else if name.equals(":scheme") {
            if value.equalsIgnoringCase("https") { head.scheme = .https } else {
                guard value.equalsIgnoringCase("http") else { return .malformed }
                head.scheme = .http
            }
        } else if name.equals(":protocol") {
            upgrade = value.equalsIgnoringCase("websocket") ? .webSocket : .other
        } else {
            return .malformed
        }
        return .fine
    }

    /// Origin form, or `*` (RFC 9113 section 8.3.1).
    private mutating func takePath(_ value: borrowing Span<UInt8>, into head: inout Head, _ limits: HTTP2Limits) -> Verdict {
        guard value.count <= limits.pathBytes else {
            refusal = refusal ?? .uriTooLong
            return .fine
        }
        pathSeen = true
        guard value.count > 0, allBytes(value, .target) else { return .malformed }
        guard value[0] == UInt8(ascii: "/") || value.equals("*") else { return .malformed }
        let target = head.arena.append(value)
        guard let mark = value.firstIndex(of: UInt8(ascii: "?")) else {
            head.path = target
            return .fine
        }
        head.path = target.prefix(mark)
        head.query = target.dropFirst(mark + 1)
        head.hasQuery = true
        return .fine
    }

    /// Decides what only the whole head shows.
    mutating func complete(_ head: inout Head, endOfStream: Bool) -> Verdict {
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
