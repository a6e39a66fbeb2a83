import Buffers
import HTTP1
import Testing

@Suite struct WebSocketTests {
    private func read(_ bytes: [UInt8], fromClient: Bool = false, limit: Int = 1 << 20, step: Int = .max) -> [WebSocketReader.Event] {
        var reader = WebSocketReader(fromClient: fromClient, limit: limit)
        var events: [WebSocketReader.Event] = []
        var at = 0
        while at < bytes.count {
            var piece = Array(bytes[at..<min(bytes.count, at + min(step, bytes.count))])
            at += piece.count
            while !piece.isEmpty {
                let (count, event) = reader.take(piece.span)
                if let event { events.append(event) }
                piece.removeFirst(count)
                if count == 0, event == nil { break }
            }
        }
        return events
    }

    private func frame(_ opcode: UInt8, _ text: String, mask: UInt32? = nil) -> [UInt8] {
        WebSocketWriter.frame(opcode, Array(text.utf8).span, mask: mask)
    }

    @Test(arguments: [
        ([], 1005, ""), ([0x03, 0xe8], 1000, ""), ([0x03, 0xe9, 0x62, 0x79, 0x65], 1001, "bye"), ([0x0f, 0xa0, 0xc3, 0xa9], 4000, "é"), ([0x03, 0xf6], 1014, ""),
        ([0x03, 0xe8, 0xff], 1000, nil), ([0x03], nil, nil), ([0x03, 0xec], nil, nil), ([0x03, 0xed], nil, nil), ([0x03, 0xee], nil, nil), ([0x03, 0xf7], nil, nil),
        ([0x03, 0xe7], nil, nil), ([0x13, 0x88], nil, nil), ([0x0b, 0xb7], nil, nil),
    ] as [([UInt8], UInt16?, String?)])
    func closeFramesHaveACodeThatAPeerMaySay(payload: [UInt8], code: UInt16?, reason: String?) {
        let found = WebSocketWriter.parseClose(payload)
        #expect(found?.code == code)
        #expect(found?.reason == reason)
    }

    /// RFC 6455 section 5.7.
    @Test func theExamplesOfTheStandard() {
        let hello = Array("Hello".utf8)
        #expect(read([0x81, 0x05] + hello) == [.message(hello, isText: true)])
        #expect(read([0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58], fromClient: true) == [.message(hello, isText: true)])
        #expect(read([0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f]) == [.message(hello, isText: true)])
        #expect(read([0x89, 0x05] + hello) == [.control(9, hello)])
    }

    @Test(arguments: [0, 1, 125, 126, 127, 65_535, 65_536], [1, 7, Int.max])
    func whatIsWrittenIsRead(_ size: Int, _ step: Int) {
        let payload = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
        for mask in [UInt32?.none, 0xdead_beef] {
            let bytes = WebSocketWriter.frame(2, payload.span, mask: mask)
            #expect(read(bytes + bytes, fromClient: mask != nil, step: step == 1 && size > 1_000 ? 997 : step) == [.message(payload, isText: false), .message(payload, isText: false)])
        }
    }

    @Test func controlFramesComeBetweenFragments() {
        let bytes: [UInt8] = [0x01, 0x01, 0x61] + frame(9, "p") + [0x80, 0x01, 0x62]
        #expect(read(bytes) == [.control(9, Array("p".utf8)), .message(Array("ab".utf8), isText: true)])
    }

    @Test func nothingFollowsACloseFrame() {
        let close = WebSocketWriter.frame(8, WebSocketWriter.close(.normal, "bye").span, mask: nil)
        #expect(read(close + frame(1, "late")) == [.close([3, 0xe8] + Array("bye".utf8))])
        #expect(read(frame(8, "")) == [.close([])])
    }

    @Test(arguments: [
        ("reserved bit", [0xc1, 0x00]), ("unknown opcode", [0x83, 0x00]), ("unknown control", [0x8b, 0x00]), ("fragmented ping", [0x09, 0x00]),
        ("long ping", [0x89, 0x7e, 0x00, 0x7e]), ("masked by a server", [0x81, 0x80, 0, 0, 0, 0]), ("continuation of nothing", [0x80, 0x00]),
        ("a new message inside one", [0x01, 0x00, 0x81, 0x00]), ("length not shortest", [0x81, 0x7e, 0x00, 0x05]),
        ("length not shortest, 64", [0x81, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), ("length negative", [0x81, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ("half a close code", [0x88, 0x01, 0x03]),
    ] as [(String, [UInt8])])
    func breachesOfTheProtocol(_ name: String, _ bytes: [UInt8]) {
        #expect(read(bytes).last == .failed(.protocolError), "\(name)")
    }

    @Test func aClientThatDoesNotMaskIsRefused() { #expect(read(frame(1, "a"), fromClient: true) == [.failed(.protocolError)]) }

    @Test func textIsUTF8OverFragmentBorders() {
        #expect(read([0x01, 0x01, 0xc3, 0x80, 0x01, 0xa9]) == [.message(Array("é".utf8), isText: true)])
        #expect(read([0x81, 0x01, 0xc3]) == [.failed(.invalidData)])
        #expect(read([0x82, 0x01, 0xc3]) == [.message([0xc3], isText: false)])
    }

    @Test func messagesHaveALimit() {
        #expect(read(frame(2, String(repeating: "x", count: 101)), limit: 100) == [.failed(.tooBig)])
        #expect(read([0x02, 60] + [UInt8](repeating: 1, count: 60) + [0x80, 60], limit: 100).last == .failed(.tooBig))
        let empty = (0..<WebSocketReader.fragmentLimit).flatMap { _ in [0x00, 0x00] as [UInt8] }
        #expect(read([0x02, 0x00] + empty) == [.failed(.policy)])
    }
}
