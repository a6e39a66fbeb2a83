import Buffers
public import HTTP

/// Carrying out actions.
extension RuleRunner {
    /// - Returns: what the gateway has to do, or nil to go on.
    mutating func perform(_ operation: Operation, rule: Int32, _ generation: Generation, _ exchange: Exchange) -> Step? {
        switch operation {
        case .route(let upstream): exchange.upstream = Int(upstream)
        case .split(let key, let weights): split(key, weights, generation, exchange)
        case .setStatus(let status):
            exchange.response.status = Int(status)
            exchange.response.reason = .empty
        case .setHeader(let header): write(header, replacing: true, generation, exchange)
        case .addHeader(let header): write(header, replacing: false, generation, exchange)
        case .removeHeader(let id, let name): remove(id, name, generation, exchange)
        case .rewrite(let path, let query): rewrite(path, query, generation, exchange)
        case .setVariable(let name, let value):
            let range = render(value, into: .scratch, escape: .header, generation, exchange)
            let constants = generation.program.constants
            Access.with(scratch, range) { value in Access.with(constants, name) { exchange.vars.set($0, value) } }
        case .log(let value):
            return .log(LogLine(rule: rule, text: render(value, into: .request, escape: .header, generation, exchange)))
        case .run(let function, let arguments):
            return .run(HookCall(function: Int(function), rule: rule, arguments: arguments))
        case .limit(let limit):
            makeLimitKey(limit, generation, exchange)
            return .limit(LimitCheck(rule: rule, limit: limit, isShadow: isShadow))
        case .retry(let policy): exchange.retry = policy
        case .timeout(let times): exchange.attemptTimes = times
        case .compress(let settings): wishes.compression = settings
        case .replaceBody(let index): wishReplacement(index, generation, exchange)
        case .mirror(let upstream, let percent): wishMirror(upstream, percent, exchange)
        case .limitBody(let bytes): exchange.bodyLimit = min(exchange.bodyLimit, bytes)
        case .setCookie(let cookie): setCookie(cookie, generation, exchange)
        case .removeCookie(let name): removeCookie(name, generation, exchange)
        case .stop: finish()
        case .drop:
            finish()
            return .drop
        case .deny(let status): return reply(.deny, Int(status), .none, rule, exchange)
        case .redirect(let to, let status): return redirect(to, Int(status), rule, generation, exchange)
        case .respond(let index): return respond(generation.program.replies[Int(index)], rule, generation, exchange)
        }
        return nil
    }

    /// The same value of the key always gets the same upstream; without a value each request is on its own.
    private mutating func split(_ key: FieldSlot?, _ weights: Slots, _ generation: Generation, _ exchange: Exchange) {
        guard let last = weights.indices.last else { return }
        var hash = exchange.requestID.low
        if let key, let value = text(key, generation, exchange) {
            hash = withBytes(value, generation, exchange) { Self.hash($0) }
        }
        let point = Int(hash % UInt64(generation.program.weights[last].upTo))
        for index in weights.indices where point < generation.program.weights[index].upTo {
            exchange.upstream = Int(generation.program.weights[index].upstream)
            return
        }
    }

    /// Sets `exchange.balanceKey` by what its upstream balances by, as the request is now.
    public mutating func chooseBalanceKey(_ exchange: Exchange) {
        guard let generation, generation.program.balanceKeys.indices.contains(exchange.upstream),
            let value = generation.program.balanceKeys[exchange.upstream]
        else { return }
        scratch.removeAll()
        let range = render(value, into: .scratch, escape: .none, generation, exchange)
        exchange.balanceKey = range.isEmpty ? nil : Access.with(scratch, range) { BalanceKey.hash($0) }
    }

    /// FNV-1a with a final mix, so that low bits depend on every byte.
    private static func hash(_ text: borrowing Span<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for index in text.indices { hash = (hash ^ UInt64(text[index])) &* 0x100_0000_01b3 }
        hash ^= hash >> 32
        return (hash &* 0x9E37_79B9_7F4A_7C15) >> 16
    }

    // MARK: Fields

    private mutating func write(_ header: HeaderValue, replacing: Bool, _ generation: Generation, _ exchange: Exchange) {
        let target: Target = phase == .request ? .request : .response
        let value = render(header.value, into: target, escape: .header, generation, exchange)
        let constants = generation.program.constants
        let name = constants.span.extracting(Int(header.name.start)..<header.name.end)
        if target == .request {
            if header.id == .host { exchange.request.authority = value }
            Self.write(&exchange.request, header.id, name, value, replacing: replacing)
        } else {
            Self.write(&exchange.response, header.id, name, value, replacing: replacing)
        }
    }

    /// - Parameter value: already in the head's arena.
    private static func write(
        _ head: inout Head, _ id: FieldName, _ name: borrowing Span<UInt8>, _ value: ByteRange, replacing: Bool
    ) {
        guard replacing, let first = head.firstIndex(named: name) else {
            // HTTP/1 and HTTP/2 write the host from the authority; a field of that name would be a second one.
            if id == .host { return }
            let range = head.arena.append(name)
            head.appendField(name: range, value: value)
            return
        }
        head.setValue(at: first, range: value)
        while let next = head.firstIndex(named: name, from: first + 1) { head.remove(at: next) }
    }

    private func remove(_ id: FieldName, _ name: ByteRange, _ generation: Generation, _ exchange: Exchange) {
        let constants = generation.program.constants
        let text = constants.span.extracting(Int(name.start)..<name.end)
        if phase == .request { exchange.request.remove(named: text) } else { exchange.response.remove(named: text) }
    }

    // MARK: Target

    private mutating func rewrite(_ path: Value?, _ query: Value?, _ generation: Generation, _ exchange: Exchange) {
        // Both are rendered before either is changed: `${query}` in the new path is the old query.
        let newPath = path.map { render($0, into: .request, escape: .path, generation, exchange) }
        let newQuery = query.map { render($0, into: .request, escape: .query, generation, exchange) }
        if let newPath { exchange.request.path = Self.absolute(newPath, &exchange.request.arena) }
        if let newQuery {
            exchange.request.query = newQuery
            exchange.request.hasQuery = !newQuery.isEmpty
        }
    }

    /// A path begins with a slash and has no dot segments (RFC 3986 section 5.2.4): what a rule puts together
    /// from a client's values may not climb out of where the rule's author put it.
    private static func absolute(_ path: ByteRange, _ arena: inout ByteArena) -> ByteRange {
        let mark = arena.count
        var segment = Int(path.start)
        if path.count > 0, arena[segment] == UInt8(ascii: "/") { segment += 1 }
        var length = 0  // of what has been written after `mark`
        var ends: Bool
        repeat {
            var end = segment
            while end < path.end, arena[end] != UInt8(ascii: "/") { end += 1 }
            ends = end >= path.end
            let dots = end - segment
            let isDots = (dots == 1 || dots == 2) && (segment..<end).allSatisfy { arena[$0] == UInt8(ascii: ".") }
            if isDots {
                if dots == 2, length > 0 {
                    length -= 1
                    while length > 0, arena[mark + length] != UInt8(ascii: "/") { length -= 1 }
                }
                if ends { put(UInt8(ascii: "/"), &length, mark, &arena) }
            } else {
                put(UInt8(ascii: "/"), &length, mark, &arena)
                for index in segment..<end { put(arena[index], &length, mark, &arena) }
            }
            segment = end + 1
        } while !ends
        return ByteRange(start: mark, count: length)
    }

    private static func put(_ byte: UInt8, _ length: inout Int, _ mark: Int, _ arena: inout ByteArena) {
        if mark + length < arena.count { arena[mark + length] = byte } else { arena.append(byte: byte) }
        length += 1
    }

    // MARK: Answers

    /// Makes `exchange.response` a fresh answer. Its arena keeps what the origin sent, for templates.
    mutating func reply(_ origin: Reply.Origin, _ status: Int, _ body: Reply.Body, _ rule: Int32, _ exchange: Exchange) -> Step {
        finish()
        exchange.response.status = status
        exchange.response.reason = .empty
        exchange.response.body = .known(body.count)
        if origin == .deny || origin == .limit { exchange.response.removeAllFields() }
        return .respond(Reply(origin: origin, rule: rule, body: body))
    }

    private mutating func redirect(_ to: Value, _ status: Int, _ rule: Int32, _ generation: Generation, _ exchange: Exchange) -> Step {
        var location = render(to, into: .response, escape: .location, generation, exchange)
        if case .literal? = to.pieces.indices.first.map({ generation.program.pieces[$0] }) {} else if to.constant == nil {
            location = Self.sameOrigin(location, exchange.response.arena)
        }
        exchange.response.removeAllFields()
        exchange.response.add(.location, range: location)
        return reply(.redirect, status, .none, rule, exchange)
    }

    /// A target that begins with a client's value must not become `//other.host`.
    private static func sameOrigin(_ range: ByteRange, _ arena: borrowing ByteArena) -> ByteRange {
        var result = range
        while result.count > 1, arena[Int(result.start)] == UInt8(ascii: "/"), isSlash(arena[Int(result.start) + 1]) {
            result = result.dropFirst(1)
        }
        return result
    }

    private static func isSlash(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "/") || byte == UInt8(ascii: "\\") }

    private mutating func respond(_ prepared: PreparedReply, _ rule: Int32, _ generation: Generation, _ exchange: Exchange) -> Step {
        // Everything is rendered before the origin's fields go: templates may read them.
        var body = Reply.Body.none
        if let value = prepared.body {
            if let constant = value.constant {
                body = .constant(constant)
            } else {
                body = .rendered(render(value, into: .response, escape: prepared.isJSON ? .json : .none, generation, exchange))
            }
        }
        let before = exchange.response.fields.count
        for index in prepared.headers.indices {
            let header = generation.program.headers[index]
            let value = render(header.value, into: .response, escape: .header, generation, exchange)
            let constants = generation.program.constants
            let name = exchange.response.arena.append(constants.span.extracting(Int(header.name.start)..<header.name.end))
            exchange.response.appendField(name: name, value: value)
        }
        for _ in 0..<before { exchange.response.remove(at: 0) }
        return reply(.respond, Int(prepared.status), body, rule, exchange)
    }
}
