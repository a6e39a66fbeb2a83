import Buffers
import HTTP
import Rules

/// Who the client is, and what the origin is told of it (RFC 7239, and the older `X-Forwarded-*`).
///
/// A field that names the client is believed only when a trusted proxy sent it, and then only as far as its addresses
/// are trusted proxies themselves, from the nearest to the farthest. Everybody else's is replaced.
extension ExchangeRunner {
    /// Sets `client`, scheme and request id by what a trusted proxy says. The peer stays in `peer`.
    func identify() {
        let address = peer.address
        if clientAddress != address { client = peer }
        guard let trusted = generation?.forwarding.trusted, trusted.contains(address) else {
            isFromTrustedProxy = false
            return
        }
        isFromTrustedProxy = true
        if let address = Claims.client(request, trusted) {
            client.address = address
            client.port = 0
        }
        if Claims.isHTTPS(request) { request.scheme = .https }
        if let id = Claims.requestID(request) { requestID = id }
    }

    /// Sets what tells the origin of the client, by the configuration's `forwarding`.
    func addClientFields() {
        guard let forwarding = generation?.forwarding else { return }
        if !isFromTrustedProxy { Claims.removeAll(&request) }
        if forwarding.fields != .forwarded { addXForwarded() }
        if forwarding.fields != .xForwarded { addForwarded() }
        if let spans { addTraceparent(of: spans) } else if forwarding.makesTraceparent { addTraceparent() }
    }

    private func addXForwarded() {
        let address = peer.address
        guard isFromTrustedProxy else { return Claims.setXForwarded(&request, address, original.authority) }
        if request.contains(.xForwardedFor) {
            request.set(.xForwardedFor, range: joined(.xForwardedFor) { _ = address.append(to: &$0) })
        } else {
            request.set(.xForwardedFor, range: address.append(to: &request.arena))
        }
        if !request.contains(.xForwardedProto) {
            request.set(.xForwardedProto, request.scheme == .https ? "https" : "http")
        }
        if !request.contains(.xForwardedHost) {
            request.set(.xForwardedHost, range: request.arena.append(copyOf: original.authority))
        }
    }

    private func addForwarded() {
        let ending: StaticString = request.scheme == .https ? "\";proto=https" : "\";proto=http"
        let peer = peer.address
        let authority = original.authority
        request.set(.forwarded, range: joined(.forwarded) { arena in
            _ = arena.append(peer.isV6 ? "for=\"[" : "for=")
            _ = peer.append(to: &arena)
            _ = arena.append(peer.isV6 ? "]\";host=\"" : ";host=\"")
            _ = arena.append(copyOf: authority)
            _ = arena.append(ending)
        })
    }

    /// All values of a field as one list, with one more element.
    private func joined(_ id: FieldName, _ element: (inout ByteArena) -> Void) -> ByteRange {
        let mark = request.arena.count
        var next = request.firstIndex(of: id)
        while let index = next {
            _ = request.arena.append(copyOf: request.fields[index].value)
            _ = request.arena.append(", ")
            next = request.firstIndex(of: id, from: index + 1)
        }
        element(&request.arena)
        return request.arena.range(since: mark)
    }

    /// Keeps a good `traceparent` (W3C Trace Context), makes one where there is none. Its trace id is the request id.
    private func addTraceparent() {
        if TraceContext.isGood(request) { return }
        request.remove(named: Span("traceparent"))
        request.remove(named: Span("tracestate"))
        let mark = request.arena.count
        _ = request.arena.append("00-")
        _ = request.arena.append(requestID.digits.span)
        _ = request.arena.append("-")
        _ = request.arena.append(worker.nextRequestID().digits.span.extracting(first: 16))
        // Not traced here: whoever comes next need not either.
        _ = request.arena.append(generation?.tracer == nil ? "-01" : "-00")
        let value = request.arena.range(since: mark)
        request.appendField(name: request.arena.append("traceparent"), value: value)
    }
}

/// What the fields of a request say of its client.
enum Claims {
    /// The first address from the right that is no trusted proxy; nil when nothing usable is there.
    static func client(_ request: borrowing Head, _ trusted: TrustedPeers) -> IPAddress? {
        var found: IPAddress?
        var index = request.fields.count - 1
        while index >= 0 {
            let field = request.fields[index]
            index -= 1
            guard field.id == .xForwardedFor else { continue }
            let value = request.bytes(field.value)
            var end = value.count
            while end > 0 {
                var start = end
                while start > 0, value[start - 1] != UInt8(ascii: ",") { start -= 1 }
                // What cannot be read hides whoever stands behind it.
                guard let address = IPAddress(forwarded: value.extracting(start..<end)) else { return found }
                found = address
                if !trusted.contains(address) { return found }
                end = start - 1
            }
        }
        return found
    }

    static func isHTTPS(_ request: borrowing Head) -> Bool {
        guard let value = request.value(of: .xForwardedProto) else { return false }
        return request.bytes(value).equalsIgnoringCase("https")
    }

    static func requestID(_ request: borrowing Head) -> RequestID? {
        guard let value = request.value(of: .xRequestID) else { return nil }
        return RequestID(text: request.bytes(value))
    }

    /// Removes what only a trusted proxy may say.
    static func removeAll(_ request: inout Head) {
        var index = request.fields.count - 1
        while index >= 0 {
            if isClaim(request, request.fields[index]) { request.remove(at: index) }
            index -= 1
        }
    }

    /// What the origin is told of a client that came directly.
    static func setXForwarded(_ request: inout Head, _ address: IPAddress, _ authority: ByteRange) {
        request.set(.xForwardedFor, range: address.append(to: &request.arena))
        request.set(.xForwardedProto, request.scheme == .https ? "https" : "http")
        request.set(.xForwardedHost, range: authority)
    }

    @inline(__always)
    private static func isClaim(_ request: borrowing Head, _ field: Field) -> Bool {
        switch field.id {
        case .forwarded, .xForwardedFor, .xForwardedHost, .xForwardedProto, .xRealIP: return true
        case .other: return field.name.count >= 9 && looksLikeClaim(request.bytes(field.name))
        default: return false
        }
    }

    /// Whether it is a claim by another name: one of the `X-Forwarded-` fields, or one that becomes one where fields turn into
    /// variables (RFC 3875 section 4.1.18), which have underscores in the place of dashes.
    private static func looksLikeClaim(_ name: borrowing Span<UInt8>) -> Bool {
        guard name[0] | 0x20 == UInt8(ascii: "x"), name[1] == UInt8(ascii: "-") || name[1] == UInt8(ascii: "_") else { return false }
        return begins(name, "x-forwarded-") || name.count == 9 && begins(name, "x-real-ip")
    }

    private static func begins(_ name: borrowing Span<UInt8>, _ start: StaticString) -> Bool {
        let start = Span<UInt8>(start)
        guard name.count >= start.count else { return false }
        for index in start.indices {
            let byte = name[index] == UInt8(ascii: "_") ? UInt8(ascii: "-") : name[index] | 0x20
            guard byte == start[index] else { return false }
        }
        return true
    }
}

/// `traceparent` of version 00: `00-<32 hex>-<16 hex>-<2 hex>`, neither id all zeros.
enum TraceContext {
    static func isGood(_ request: borrowing Head) -> Bool {
        guard let value = request.value(named: Span("traceparent")) else { return false }
        return isValid(request.bytes(value))
    }

    static func isValid(_ text: borrowing Span<UInt8>) -> Bool {
        guard text.count == 55, text[0] == 48, text[1] == 48, text[2] == 45, text[35] == 45, text[52] == 45 else { return false }
        return isID(text.extracting(3..<35)) && isID(text.extracting(36..<52)) && isHex(text.extracting(53..<55))
    }

    private static func isHex(_ text: borrowing Span<UInt8>) -> Bool {
        for index in text.indices where !(text[index] &- 48 < 10 || text[index] &- 97 < 6) { return false }
        return true
    }

    private static func isID(_ text: borrowing Span<UInt8>) -> Bool {
        guard isHex(text) else { return false }
        for index in text.indices where text[index] != 48 { return true }
        return false
    }
}

extension RequestID {
    /// 32 hexadecimal digits, or a UUID with its dashes.
    init?(text: borrowing Span<UInt8>) {
        guard text.count == 32 || text.count == 36 else { return nil }
        var high: UInt64 = 0
        var low: UInt64 = 0
        var digits = 0
        for index in text.indices {
            let byte = text[index]
            if byte == UInt8(ascii: "-"), text.count == 36 { continue }
            let digit = byte &- 48 < 10 ? byte &- 48 : (byte | 0x20) &- 97 < 6 ? (byte | 0x20) &- 87 : 255
            guard digit < 16 else { return nil }
            if digits < 16 { high = high << 4 | UInt64(digit) } else { low = low << 4 | UInt64(digit) }
            digits += 1
        }
        guard digits == 32, high | low != 0 else { return nil }
        self.init(high: high, low: low)
    }
}

extension IPAddress {
    /// An element of `X-Forwarded-For`: an address with or without port; IPv6 with a port stands in brackets.
    init?(forwarded element: borrowing Span<UInt8>) {
        let text = element.trimmingOWS()
        guard text.count >= 2, text.count <= 64 else { return nil }
        if text[0] == UInt8(ascii: "[") {
            guard let close = text.firstIndex(of: UInt8(ascii: "]")) else { return nil }
            self.init(text.extracting(1..<close).text())
        } else if let colon = text.firstIndex(of: UInt8(ascii: ":")), text.extracting(first: colon).firstIndex(of: UInt8(ascii: ".")) != nil {
            self.init(text.extracting(first: colon).text())
        } else {
            self.init(text.text())
        }
    }
}
