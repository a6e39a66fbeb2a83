import Buffers
import HTTP

/// Where a value's bytes are.
struct Located {
    enum Store { case request, response, variables, scratch, constants, captures }
    var store: Store
    var range: ByteRange
}

/// Reading fields. A nil result is a missing value, which is not the same as an empty one.
extension RuleRunner {
    /// Lends the bytes of a value.
    func withBytes<Result>(
        _ located: Located, _ generation: Generation, _ exchange: Exchange, _ body: (borrowing Span<UInt8>) -> Result
    ) -> Result {
        switch located.store {
        case .request: Access.with(exchange.request, located.range, body)
        case .response: Access.with(exchange.response, located.range, body)
        case .variables: Access.with(exchange.vars, located.range, body)
        case .scratch: Access.with(scratch, located.range, body)
        case .captures: Access.with(captureText, located.range, body)
        case .constants: Access.with(generation.program.constants, located.range, body)
        }
    }

    /// The text of any field; numbers and addresses are written out.
    mutating func text(_ field: FieldSlot, _ generation: Generation, _ exchange: Exchange) -> Located? {
        switch field.id {
        case .method: return Located(store: .request, range: exchange.request.methodName)
        case .scheme: return constant(exchange.request.scheme.text)
        case .host: return Self.host(exchange.request.host(), exchange.request, &scratch)
        case .path: return Located(store: .request, range: exchange.request.path)
        case .query: return exchange.request.hasQuery ? Located(store: .request, range: exchange.request.query) : nil
        case .uri: return Self.uri(exchange.request.path, exchange.request.query, exchange.request.hasQuery, exchange.request, &scratch)
        case .httpVersion: return constant(version(exchange.request.version))
        case .argument: return exchange.request.hasQuery ? argument(field.name, exchange.request.query, generation, exchange) : nil
        case .header:
            // HTTP/2 has no Host field: the authority is what it would say.
            if field.header == .host { return Located(store: .request, range: exchange.request.authority) }
            return header(field, exchange.request, .request, generation)
        case .cookie: return cookie(field.name, generation, exchange)
        case .site: return exchange.site < 0 ? nil : Located(store: .constants, range: generation.program.sites[exchange.site].name)
        case .requestID:
            let digits = exchange.requestID.digits
            return Located(store: .scratch, range: scratch.append(digits.span))
        case .variable: return variable(field.name, generation, exchange)
        case .originalMethod: return Located(store: .request, range: exchange.original.methodName)
        case .originalHost: return Self.host(Self.hostWithoutPort(exchange.original.authority, exchange.request), exchange.request, &scratch)
        case .originalPath: return Located(store: .request, range: exchange.original.path)
        case .originalQuery: return exchange.original.hasQuery ? Located(store: .request, range: exchange.original.query) : nil
        case .originalURI: return Self.uri(exchange.original.path, exchange.original.query, exchange.original.hasQuery, exchange.request, &scratch)
        case .originalArgument:
            return exchange.original.hasQuery ? argument(field.name, exchange.original.query, generation, exchange) : nil
        case .responseHeader: return header(field, exchange.response, .response, generation)
        default: return lateText(field, generation, exchange)
        }
    }

    private mutating func lateText(_ field: FieldSlot, _ generation: Generation, _ exchange: Exchange) -> Located? {
        switch field.id {
        case .tlsVersion: return exchange.client.tls.flatMap { string($0.version) }
        case .tlsCipher: return exchange.client.tls.flatMap { string($0.cipher) }
        case .tlsServerName: return exchange.client.tls.flatMap { string($0.serverName) }
        case .fingerprint: return exchange.client.tls.flatMap { string($0.fingerprint) }
        case .tlsSubject: return exchange.client.tls.flatMap { string($0.clientSubject) }
        case .tlsIssuer: return exchange.client.tls.flatMap { string($0.clientIssuer) }
        case .tlsSerial: return exchange.client.tls.flatMap { string($0.clientSerial) }
        case .tlsFingerprint: return exchange.client.tls.flatMap { string($0.clientFingerprint) }
        case .tlsVerified: return flag(field, exchange).map { constant($0 ? "true" : "false") }
        case .originHeader: return originHeader(field, generation, exchange)
        case .originUpstream:
            let index = exchange.origin.upstream
            guard generation.program.upstreamNames.indices.contains(index) else { return nil }
            return Located(store: .constants, range: generation.program.upstreamNames[index])
        case .errorKind: return exchange.error.map { constant($0.kind.token) }
        case .errorHook: return string(exchange.failedHook)
        case .clientIP, .originAddress:
            return address(field, exchange).map { Located(store: .scratch, range: $0.append(to: &scratch)) }
        default: return integer(field, exchange).map { Located(store: .scratch, range: append(decimal: $0)) }
        }
    }

    func integer(_ field: FieldSlot, _ exchange: Exchange) -> Int? {
        switch field.id {
        case .bodySize:
            switch exchange.request.body {
            case .none: return 0
            case .known(let count): return count
            default: return nil
            }
        case .clientPort: return Int(exchange.client.port)
        case .time: return exchange.startedWall
        case .roundTrip: return exchange.client.roundTrip
        case .status: return exchange.response.status == 0 ? nil : exchange.response.status
        case .originStatus: return exchange.origin.called ? exchange.origin.status : nil
        case .originTime:
            let origin = exchange.origin
            guard origin.requestSent > 0, origin.firstByte >= origin.requestSent else { return nil }
            return Int((origin.firstByte - origin.requestSent) / 1_000_000)
        default: return nil
        }
    }

    func address(_ field: FieldSlot, _ exchange: Exchange) -> IPAddress? {
        switch field.id {
        case .clientIP: exchange.client.address
        case .originAddress: exchange.origin.called ? exchange.origin.address : nil
        default: nil
        }
    }

    func flag(_ field: FieldSlot, _ exchange: Exchange) -> Bool? {
        field.id == .tlsVerified ? exchange.client.tls?.clientVerified : nil
    }

    // MARK: Kinds of text

    private mutating func constant(_ text: StaticString) -> Located { Located(store: .scratch, range: scratch.append(text)) }

    private mutating func string(_ text: String) -> Located? {
        text.isEmpty ? nil : Located(store: .scratch, range: scratch.append(text))
    }

    private func version(_ version: HTTPVersion) -> StaticString {
        switch version {
        case .http10: "1.0"
        case .http11: "1.1"
        case .http2: "2"
        }
    }

    /// Lower case without a final dot. Copied only when it has to change.
    private static func host(_ range: ByteRange, _ head: borrowing Head, _ scratch: inout ByteArena) -> Located {
        let host = head.bytes(range)
        var length = host.count
        if length > 1, host[length - 1] == UInt8(ascii: ".") { length -= 1 }
        var changes = false
        for index in 0..<length where host[index] != lowercased(host[index]) { changes = true }
        guard changes else { return Located(store: .request, range: range.prefix(length)) }
        let mark = scratch.count
        for index in 0..<length { scratch.append(byte: lowercased(host[index])) }
        return Located(store: .scratch, range: scratch.range(since: mark))
    }

    private static func hostWithoutPort(_ authority: ByteRange, _ head: borrowing Head) -> ByteRange {
        let text = head.bytes(authority)
        let isLiteral = text.count > 0 && text[0] == UInt8(ascii: "[")
        let from = isLiteral ? text.firstIndex(of: UInt8(ascii: "]")) ?? 0 : 0
        return text.firstIndex(of: UInt8(ascii: ":"), from: from).map { authority.prefix($0) } ?? authority
    }

    /// Usually path and query still stand side by side in the arena.
    private static func uri(
        _ path: ByteRange, _ query: ByteRange, _ hasQuery: Bool, _ head: borrowing Head, _ scratch: inout ByteArena
    ) -> Located {
        guard hasQuery else { return Located(store: .request, range: path) }
        if Int(query.start) == path.end + 1, head.arena[path.end] == UInt8(ascii: "?") {
            return Located(store: .request, range: ByteRange(start: Int(path.start), count: query.end - Int(path.start)))
        }
        let mark = scratch.count
        _ = scratch.append(head.bytes(path))
        scratch.append(byte: UInt8(ascii: "?"))
        _ = scratch.append(head.bytes(query))
        return Located(store: .scratch, range: scratch.range(since: mark))
    }

    private func header(_ field: FieldSlot, _ head: borrowing Head, _ store: Located.Store, _ generation: Generation) -> Located? {
        headerIndex(field, head, generation, from: 0).map { Located(store: store, range: head.fields[$0].value) }
    }

    /// The next field of this name, for `any(...)`.
    func headerIndex(_ field: FieldSlot, _ head: borrowing Head, _ generation: Generation, from: Int) -> Int? {
        if field.header != .other { return head.firstIndex(of: field.header, from: from) }
        let constants = generation.program.constants
        let name = constants.span.extracting(Int(field.name.start)..<field.name.end)
        return head.firstIndex(named: name, from: from)
    }

    private func originHeader(_ field: FieldSlot, _ generation: Generation, _ exchange: Exchange) -> Located? {
        let constants = generation.program.constants
        for sent in originFields where sent.id == field.header {
            let isOther = field.header == .other && !Access.with(constants, field.name) { name in
                Access.with(exchange.response, sent.name) { $0.equalsIgnoringCase(name) }
            }
            if !isOther { return Located(store: .response, range: sent.value) }
        }
        return nil
    }

    private func variable(_ name: ByteRange, _ generation: Generation, _ exchange: Exchange) -> Located? {
        let value = Access.with(generation.program.constants, name) { exchange.vars.value($0) }
        return value.map { Located(store: .variables, range: $0) }
    }

    private mutating func append(decimal number: Int) -> ByteRange {
        let mark = scratch.count
        var divisor = 1
        while number / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            scratch.append(byte: UInt8(48 + number / divisor % 10))
            divisor /= 10
        }
        return scratch.range(since: mark)
    }
}
