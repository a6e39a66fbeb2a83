import Buffers
import HTTP
import HTTP1
import Support

/// An accepted request is written, read back as the same message, and written the same again. The same for responses.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 1 else { return 0 }
    let all = input(start, count)
    let bytes = Array(all.dropFirst())
    let pool = SlabPool()
    if all[0] & 1 == 0 { requests(bytes, pool) } else { responses(bytes, pool) }
    return 0
}

private func requests(_ bytes: [UInt8], _ pool: SlabPool) {
    guard let first = readRequest(bytes, cuts: [bytes.count]), first.failure == nil else { return }
    // An HTTP/1.0 request may name no host; the gateway refuses it before it writes one.
    guard !first.line[1].isEmpty else { return }
    let once = writeRequest(bytes, pool)
    guard let second = readRequest(once, cuts: [once.count]) else { return require(false, "what was written has no end") }
    require(second.failure == nil, "what was written is refused")
    require(second.consumed == once.count, "what was written is more than one message")
    require(second.body == first.body, "another body")
    require(second.line[0...3] == first.line[0...3], "another request line")
    require(kept(second) == kept(first).filter { field in kept(second).contains(field) }, "a field that was not there")
    require(writeRequest(once, pool) == once, "written differently the second time")
}

private func responses(_ bytes: [UInt8], _ pool: SlabPool) {
    guard let first = readResponse(bytes, cuts: [bytes.count], answering: .get), first.failure == nil else { return }
    let once = writeResponse(bytes, pool)
    guard let second = readResponse(once, cuts: [once.count], answering: .get) else { return require(false, "what was written has no end") }
    require(second.failure == nil, "what was written is refused")
    require(second.consumed == once.count, "what was written is more than one message")
    require(second.body == first.body, "another body")
    require(writeResponse(once, pool) == once, "written differently the second time")
}

/// Fields that are not about the connection or the framing.
private func kept(_ reading: Reading) -> [[[UInt8]]] {
    let skipped: [FieldName] = [.host, .contentLength, .transferEncoding, .connection]
    return reading.fields.filter { field in !skipped.contains { [$0.rawValue] == field[2] } }
}

private func writeRequest(_ bytes: [UInt8], _ pool: SlabPool) -> [UInt8] {
    var parser = RequestParser(allowsConnect: true)
    var head = Head()
    guard case .complete = parser.parse(bytes.span, into: &head) else { return [] }
    var output = OutputBuffer(pool: pool)
    RequestWriter.write(head, to: &output)
    return written(&output)
}

private func writeResponse(_ bytes: [UInt8], _ pool: SlabPool) -> [UInt8] {
    var parser = ResponseParser()
    var head = Head()
    guard case .complete = parser.parse(bytes.span, into: &head, answering: .get) else { return [] }
    var output = OutputBuffer(pool: pool)
    ResponseWriter.write(head, to: &output, connection: .keepAlive, clientVersion: .http11)
    return written(&output)
}

private func written(_ output: inout OutputBuffer) -> [UInt8] {
    var bytes: [UInt8] = []
    while !output.isEmpty {
        let part = output.chain.firstBytes.array()
        bytes += part
        output.dropFirst(part.count)
    }
    return bytes
}
