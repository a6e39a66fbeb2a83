import Buffers
import Codings
import Support

/// The first byte says how large the pieces are, the second how many texts are looked for; then the texts, each behind its
/// length, and the body.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 2 else { return 0 }
    let all = input(start, count)
    var texts: [[UInt8]] = []
    var rest = all.dropFirst(2)
    for _ in 0...Int(all[1] & 3) {
        guard let length = rest.popFirst() else { break }
        let text = Array(rest.prefix(1 + Int(length & 7)))
        rest = rest.dropFirst(text.count)
        if !text.isEmpty { texts.append(text) }
    }
    guard !texts.isEmpty else { return 0 }
    let body = Array(rest)
    let expected = naive(body, texts)
    require(replaced(body, texts, step: body.count) == expected, "a body in one piece is replaced in otherwise")
    require(replaced(body, texts, step: 1 + Int(all[0] & 15)) == expected, "a body in pieces is replaced in otherwise")
    return 0
}

/// Shorter and longer than what they stand for, and one that holds a text itself.
private func replacement(_ index: Int, _ text: [UInt8]) -> [UInt8] { index == 0 ? [] : index == 1 ? Array("<longer than any>".utf8) : text + text }

private func replaced(_ body: [UInt8], _ texts: [[UInt8]], step: Int) -> [UInt8] {
    let pool = SlabPool()
    var writer = SlabWriter(pool: pool)
    var output = Chain()
    var replacer = BodyReplacer(SearchTexts(texts), texts.enumerated().map { replacement($0.offset, $0.element) })
    var start = 0
    for end in cuts(body.count, step: max(step, 1)) where end > start {
        var piece = Chain()
        piece.append(copying: body.span.extracting(start..<end), from: pool)
        while let slice = piece.popFirst() { replacer.take(slice, &writer, into: &output) }
        start = end
    }
    replacer.finish(&writer, into: &output)
    let bytes = output.copyBytes()
    output.removeAll()
    writer.release()
    return bytes
}

private func naive(_ body: [UInt8], _ texts: [[UInt8]]) -> [UInt8] {
    var result: [UInt8] = []
    var at = 0
    while at < body.count {
        if let found = texts.indices.first(where: { body[at...].starts(with: texts[$0]) }) {
            result += replacement(found, texts[found])
            at += texts[found].count
        } else {
            result.append(body[at])
            at += 1
        }
    }
    return result
}
