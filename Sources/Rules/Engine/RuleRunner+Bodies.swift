import Buffers
public import Codings
public import HTTP

/// What rules want to be done with the response's body.
public struct BodyWishes {
    /// Index into `Generation.compressions`, or -1.
    var compression: Int32 = -1
    /// Indices into `Generation.replacements`.
    var replacements: [Int32] = []
    /// One for each text of these, in the response's arena.
    var texts: [ByteRange] = []

    public var isEmpty: Bool { compression < 0 && replacements.isEmpty }

    mutating func reset() {
        compression = -1
        guard !replacements.isEmpty else { return }
        replacements.removeAll(keepingCapacity: true)
        texts.removeAll(keepingCapacity: true)
    }
}

/// A `replace_body`: the texts, and what stands in their place.
struct CompiledReplacement: Sendable {
    var search: SearchTexts
    var with: [Value]
}

extension RuleRunner {
    mutating func wishReplacement(_ index: Int32, _ generation: Generation, _ exchange: Exchange) {
        let escape = Self.bodyEscape(exchange.response)
        let replacement = generation.replacements[Int(index)]
        wishes.replacements.append(index)
        for value in replacement.with { wishes.texts.append(render(value, into: .response, escape: escape, generation, exchange)) }
    }

    /// What a client's value must be escaped for.
    private static func bodyEscape(_ head: borrowing Head) -> Escape {
        guard let type = head.value(of: .contentType) else { return .none }
        let text = head.bytes(type)
        if text.firstRange(of: Span("json")) != nil { return .json }
        if text.firstRange(of: Span("html")) != nil || text.firstRange(of: Span("xml")) != nil { return .html }
        return .none
    }

    /// The `compress` that was asked for last.
    public var compression: CompressSettings? {
        guard let generation, wishes.compression >= 0 else { return nil }
        return generation.compressions[Int(wishes.compression)]
    }

    /// The texts to replace and what to put in their place; nil when no rule asks for it.
    public borrowing func replacing(_ exchange: Exchange) -> (search: SearchTexts, with: [[UInt8]])? {
        guard let generation, let first = wishes.replacements.first else { return nil }
        let search =
            wishes.replacements.count == 1
            ? generation.replacements[Int(first)].search
            : SearchTexts(joining: wishes.replacements.map { generation.replacements[Int($0)].search })
        return (search, wishes.texts.map { range in Access.with(exchange.response, range) { $0.array() } })
    }

    /// The same request never goes to one upstream twice, and to no more than four.
    mutating func wishMirror(_ upstream: Int32, _ percent: Int32, _ exchange: Exchange) {
        guard exchange.requestID.high % 100 < UInt64(percent), !mirrors.contains(upstream), mirrors.count < 4 else { return }
        mirrors.append(upstream)
    }
}
