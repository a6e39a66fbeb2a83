import Buffers
import HTTP1
import Support

/// The first byte says which side sends and how large the pieces are; the rest are frames.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 1 else { return 0 }
    let all = input(start, count)
    let bytes = Array(all.dropFirst())
    let fromClient = all[0] & 128 != 0
    let whole = read(bytes, fromClient, cuts: [bytes.count])
    require(read(bytes, fromClient, cuts: cuts(bytes.count, step: Int(all[0] & 31) + 1)) == whole, "frames in pieces are other messages")
    for event in whole { requireLegal(event, fromClient) }
    walk(bytes, step: Int(all[0] & 31) + 1)
    return 0
}

private let limit = 4_096

private func read(_ bytes: [UInt8], _ fromClient: Bool, cuts: [Int]) -> [WebSocketReader.Event] {
    var reader = WebSocketReader(fromClient: fromClient, limit: limit)
    var events: [WebSocketReader.Event] = []
    var start = 0
    for end in cuts {
        while start < end {
            let (taken, event) = reader.take(bytes.span.extracting(start..<end))
            require(taken > 0 || event != nil, "no progress")
            start += taken
            if let event { events.append(event) }
            require(reader.held <= limit, "more is held than a message may have")
        }
    }
    return events
}

private func requireLegal(_ event: WebSocketReader.Event, _ fromClient: Bool) {
    switch event {
    case .message(let bytes, let isText):
        require(bytes.count <= limit, "a message over its limit")
        require(!isText || String(validating: bytes, as: UTF8.self) != nil, "text that is none")
        let frame = WebSocketWriter.frame(isText ? 1 : 2, bytes.span, mask: fromClient ? 0x1234_5678 : nil)
        require(read(frame, fromClient, cuts: [frame.count]) == [event], "what is written reads differently")
    case .control(let opcode, let bytes): require((opcode == 9 || opcode == 10) && bytes.count <= 125, "a control frame that is none")
    case .close(let bytes): require(bytes.count != 1 && bytes.count <= 125, "a close frame that is none")
    case .failed: break
    }
}

/// Looking at lengths alone goes over every byte, in pieces as in one.
private func walk(_ bytes: [UInt8], step: Int) {
    var whole = WebSocketFrames()
    require(whole.pass(bytes.span) == bytes.count, "not walked over")
    var pieces = WebSocketFrames()
    var start = 0
    for end in cuts(bytes.count, step: step) {
        require(pieces.pass(bytes.span.extracting(start..<end)) == end - start, "not walked over in pieces")
        start = end
    }
    require(whole.isAtBoundary == pieces.isAtBoundary, "pieces end elsewhere")
}
