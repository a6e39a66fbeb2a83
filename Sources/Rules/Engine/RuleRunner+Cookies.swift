import Buffers
import HTTP

/// Cookies that rules set and remove (RFC 6265).
extension RuleRunner {
    mutating func setCookie(_ cookie: CompiledCookie, _ generation: Generation, _ exchange: Exchange) {
        let constants = generation.program.constants
        guard phase == .request else {
            let value = render(cookie.value, into: .response, escape: .cookie, generation, exchange)
            let mark = exchange.response.arena.count
            _ = Access.copy(constants, cookie.name, to: &exchange.response.arena)
            exchange.response.arena.append(byte: UInt8(ascii: "="))
            _ = exchange.response.arena.append(copyOf: value)
            _ = Access.copy(constants, cookie.attributes, to: &exchange.response.arena)
            exchange.response.add(.setCookie, range: exchange.response.arena.range(since: mark))
            return
        }
        // Rendered first: the new value may be made of the old one.
        let value = render(cookie.value, into: .request, escape: .cookie, generation, exchange)
        removeCookie(cookie.name, generation, exchange)
        let old = exchange.request.value(of: .cookie)
        let mark = exchange.request.arena.count
        if let old, !old.isEmpty {
            _ = exchange.request.arena.append(copyOf: old)
            _ = exchange.request.arena.append("; ")
        }
        _ = Access.copy(constants, cookie.name, to: &exchange.request.arena)
        exchange.request.arena.append(byte: UInt8(ascii: "="))
        _ = exchange.request.arena.append(copyOf: value)
        let whole = exchange.request.arena.range(since: mark)
        if let first = exchange.request.firstIndex(of: .cookie) {
            exchange.request.setValue(at: first, range: whole)
        } else {
            exchange.request.add(.cookie, range: whole)
        }
    }

    func removeCookie(_ name: ByteRange, _ generation: Generation, _ exchange: Exchange) {
        let constants = generation.program.constants
        let wanted = constants.span.extracting(Int(name.start)..<name.end)
        if phase == .request { Self.removeSent(wanted, &exchange.request) } else { Self.removeSet(wanted, &exchange.response) }
    }

    /// Takes `name=...` out of every `Cookie` field; a field with nothing left goes.
    private static func removeSent(_ wanted: borrowing Span<UInt8>, _ head: inout Head) {
        var index = 0
        while let field = head.firstIndex(of: .cookie, from: index) {
            let range = head.fields[field].value
            guard let kept = without(wanted, range, &head.arena) else {
                index = field + 1
                continue
            }
            if kept.isEmpty {
                head.remove(at: field)
            } else {
                head.setValue(at: field, range: kept)
                index = field + 1
            }
        }
    }

    /// The pairs of a `Cookie` value whose name is another; nil when that is all of them.
    private static func without(_ wanted: borrowing Span<UInt8>, _ range: ByteRange, _ arena: inout ByteArena) -> ByteRange? {
        let mark = arena.count
        var found = false
        var start = Int(range.start)
        while let pair = nextPair(&start, range.end, arena) {
            if isNamed(wanted, pair, arena) {
                found = true
            } else {
                if arena.count > mark { _ = arena.append("; ") }
                _ = arena.append(copyOf: pair)
            }
        }
        guard found else {
            arena.truncate(to: mark)
            return nil
        }
        return arena.range(since: mark)
    }

    private static func nextPair(_ start: inout Int, _ limit: Int, _ arena: borrowing ByteArena) -> ByteRange? {
        while start < limit, arena[start] == UInt8(ascii: " ") || arena[start] == UInt8(ascii: ";") { start += 1 }
        guard start < limit else { return nil }
        let first = start
        while start < limit, arena[start] != UInt8(ascii: ";") { start += 1 }
        return ByteRange(start: first, count: start - first)
    }

    private static func isNamed(_ wanted: borrowing Span<UInt8>, _ pair: ByteRange, _ arena: borrowing ByteArena) -> Bool {
        guard Int(pair.count) >= wanted.count else { return false }
        guard Int(pair.count) == wanted.count || arena[Int(pair.start) + wanted.count] == UInt8(ascii: "=") else { return false }
        return arena[pair.prefix(wanted.count)].equals(wanted)
    }

    /// Removes `Set-Cookie` fields for this name.
    private static func removeSet(_ wanted: borrowing Span<UInt8>, _ head: inout Head) {
        var index = 0
        while let field = head.firstIndex(of: .setCookie, from: index) {
            var range = head.fields[field].value
            while range.count > 0, head.arena[Int(range.start)] == UInt8(ascii: " ") { range = range.dropFirst(1) }
            if isNamed(wanted, range, head.arena) { head.remove(at: field) } else { index = field + 1 }
        }
    }
}
