public import Buffers

/// Texts to look for in bodies. Made once when a configuration is loaded.
public final class SearchTexts: Sendable {
    /// Most bytes of one text, and most texts of one rule.
    public static let longestText = 1024
    public static let mostTexts = 32

    let texts: [[UInt8]]
    let longest: Int
    /// By first byte: whether some text begins with it.
    let begins: [Bool]
    /// The first byte of all texts, when it is the same.
    let onlyFirst: UInt8?

    /// - Parameter texts: none of them empty. Where several match at one place the first does.
    public init(_ texts: [[UInt8]]) {
        self.texts = texts.filter { !$0.isEmpty }
        longest = self.texts.map(\.count).max() ?? 0
        var begins = Array(repeating: false, count: 256)
        for text in self.texts { begins[Int(text[0])] = true }
        self.begins = begins
        let firsts = Set(self.texts.map { $0[0] })
        onlyFirst = firsts.count == 1 ? firsts.first : nil
    }

    public convenience init(joining parts: [SearchTexts]) { self.init(parts.flatMap(\.texts)) }

    enum Found: Equatable {
        case nothing
        case text(Int)
        /// What is there may become a match with more bytes.
        case perhaps
    }

    /// Looks at one place. The texts are tried in their order, so a match behind one that may still come waits for it.
    func look(_ bytes: borrowing Span<UInt8>, at place: Int, atEnd: Bool) -> Found {
        for (index, text) in texts.enumerated() {
            let there = min(text.count, bytes.count - place)
            var same = 0
            while same < there, bytes[place + same] == text[same] { same += 1 }
            guard same == there else { continue }
            if there == text.count { return .text(index) }
            if !atEnd { return .perhaps }
        }
        return .nothing
    }

    /// The next place at or behind `from` where a text could begin.
    func candidate(_ bytes: borrowing Span<UInt8>, from: Int) -> Int {
        if let onlyFirst { return bytes.firstIndex(of: onlyFirst, from: from) ?? bytes.count }
        var index = from
        while index < bytes.count, !begins[Int(bytes[index])] { index += 1 }
        return index
    }
}

/// Replaces texts in a stream. Bytes between matches pass as slices; what may be the beginning of a match at the end of a
/// piece is kept until the next one comes.
public struct BodyReplacer: ~Copyable {
    private let search: SearchTexts
    /// By text of `search`: what stands in its place.
    private let replacements: [[UInt8]]
    /// The end of what was given, at most one byte less than the longest text.
    private var kept: [UInt8] = []
    public private(set) var count = 0

    /// - Parameter replacements: one for each text.
    public init(_ search: SearchTexts, _ replacements: [[UInt8]]) {
        precondition(search.texts.count == replacements.count)
        self.search = search
        self.replacements = replacements
        kept.reserveCapacity(2 * search.longest)
    }

    /// Takes the next piece.
    public mutating func take(_ slice: consuming Slice, _ writer: inout SlabWriter, into output: inout Chain) {
        var slice = slice
        while !slice.isEmpty {
            if kept.isEmpty {
                pass(&slice, &writer, &output)
            } else {
                let used = bridge(slice.bytes, atEnd: false, &writer, &output)
                slice.dropFirst(used)
            }
        }
    }

    /// No more comes: what was kept is no match.
    public mutating func finish(_ writer: inout SlabWriter, into output: inout Chain) {
        let nothing: [UInt8] = []
        while !kept.isEmpty { _ = bridge(nothing.span, atEnd: true, &writer, &output) }
    }

    /// Moves bytes up to and including the next match, or to the end.
    private mutating func pass(_ slice: inout Slice, _ writer: inout SlabWriter, _ output: inout Chain) {
        var place = search.candidate(slice.bytes, from: 0)
        while place < slice.count {
            switch search.look(slice.bytes, at: place, atEnd: false) {
            case .nothing: place = search.candidate(slice.bytes, from: place + 1)
            case .text(let index):
                if place > 0 { output.append(slice.split(prefix: place)) }
                slice.dropFirst(search.texts[index].count)
                replace(index, &writer, &output)
                return
            case .perhaps:
                if place > 0 { output.append(slice.split(prefix: place)) }
                keep(slice.bytes, slice.count)
                slice.dropFirst(slice.count)
                return
            }
        }
        output.append(slice.split(prefix: slice.count))
    }

    private mutating func keep(_ bytes: borrowing Span<UInt8>, _ count: Int) {
        for index in 0..<count { kept.append(bytes[index]) }
    }

    private mutating func replace(_ index: Int, _ writer: inout SlabWriter, _ output: inout Chain) {
        count += 1
        let text = replacements[index]
        writer.append(copying: text.span, to: &output)
    }

    /// Decides what the kept bytes are, with the help of the first bytes of the next piece.
    /// - Returns: how many bytes of the piece belong to a match or are kept now.
    private mutating func bridge(
        _ next: borrowing Span<UInt8>, atEnd: Bool, _ writer: inout SlabWriter, _ output: inout Chain
    ) -> Int {
        let before = kept.count
        let borrowed = min(next.count, search.longest - 1)
        keep(next, borrowed)
        // All bytes there are: whether more could complete a match.
        let isWhole = borrowed == next.count
        var place = 0
        while place < before {
            switch search.look(kept.span, at: place, atEnd: atEnd) {
            case .nothing: place += 1
            case .text(let index):
                writer.append(copying: kept.span.extracting(0..<place), to: &output)
                replace(index, &writer, &output)
                let end = place + search.texts[index].count
                return settle(end, before, borrowed)
            case .perhaps:
                // Only the end of what was given can leave a match open.
                assert(isWhole)
                writer.append(copying: kept.span.extracting(0..<place), to: &output)
                kept.removeFirst(place)
                return borrowed
            }
        }
        writer.append(copying: kept.span.extracting(0..<before), to: &output)
        kept.removeAll(keepingCapacity: true)
        return 0
    }

    /// After a match that ends at `end` of the kept bytes, `before` of which were kept before.
    private mutating func settle(_ end: Int, _ before: Int, _ borrowed: Int) -> Int {
        if end >= before {
            kept.removeAll(keepingCapacity: true)
            return end - before
        }
        // Bytes that were kept before remain: they are looked at again with the same piece.
        kept.removeLast(borrowed)
        kept.removeFirst(end)
        return 0
    }
}
