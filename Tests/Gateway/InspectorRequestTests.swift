import Testing

@testable import Gateway

/// Who may ask the inspector what.
@Suite struct InspectorRequestTests {
    private func verdict(_ text: String) -> InspectorRequest.Verdict { InspectorRequest.parse(Array(text.utf8).span) }
    private func status(_ text: String) -> Int {
        switch verdict(text) {
        case .incomplete: 0
        case .request: 200
        case .refused(let status, _): status
        }
    }

    @Test func `a request is read whole, and says where it ends`() {
        let text = "GET /json HTTP/1.1\r\nHost: localhost:9229\r\nX: \t y \r\n\r\n"
        #expect(verdict(text + "more") == .request(InspectorRequest(path: "/json", host: "localhost:9229", length: text.utf8.count)))
        let bytes = Array(text.utf8)
        for count in bytes.indices { #expect(InspectorRequest.parse(Array(bytes[..<count]).span) == .incomplete, "\(count)") }
    }

    @Test func `an upgrade needs version and key`() {
        let head = "GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"
        let key = "dGhlIHNhbXBsZSBub25jZQ=="
        guard case .request(let request) = verdict(head + "Sec-WebSocket-Key: \(key)\r\n\r\n") else {
            Issue.record("refused")
            return
        }
        #expect(request.webSocketKey == key)
        #expect(status(head + "\r\n") == 400 && status(head + "Sec-WebSocket-Key: short\r\n\r\n") == 400)
    }

    @Test(arguments: [
        ("GET /json HTTP/1.1\r\n\r\n", 403), ("GET /json HTTP/1.1\r\nHost:\r\n\r\n", 403), ("GET /json HTTP/1.1\r\nHost: evil\r\n\r\n", 403),
        ("GET /json HTTP/1.0\r\nHost: localhost\r\n\r\n", 400), ("GET json HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("PUT /json HTTP/1.1\r\nHost: localhost\r\n\r\n", 405), ("GET /json HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n", 400),
        ("GET /json HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n", 400), ("\r\n\r\n", 400),
        ("GET /json HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n", 403),
        ("GET /json HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n", 403),
        ("GET /json HTTP/1.1\r\nHost: localhost\r\nOrigin: devtools://devtools\r\n\r\n", 200),
    ]) func `everything else is refused`(_ text: String, _ expected: Int) { #expect(status(text) == expected) }

    @Test func `a head has an end`() { #expect(status("GET /" + String(repeating: "x", count: InspectorRequest.headLimit)) == 431) }

    @Test func `another worker listens on a port further on`() {
        #expect(InspectorRequest.host("localhost:9229", portFurtherBy: 2) == "localhost:9231")
        #expect(InspectorRequest.host("[::1]:9230", portFurtherBy: -1) == "[::1]:9229")
        #expect(InspectorRequest.host("localhost", portFurtherBy: 0) == "localhost")
        for host in ["localhost", "[::1]", "localhost:65535"] { #expect(InspectorRequest.host(host, portFurtherBy: 1) == nil, "\(host)") }
    }

    @Test func `only this machine's own names are answered`() {
        for host in ["localhost", "LocalHost:1", "127.0.0.1", "10.0.0.1:9229", "[::1]", "[fe80::1]:80"] { #expect(InspectorRequest.isOwnName(host), "\(host)") }
        for host in ["", ":80", "localhost.", "localhost:x", "localhost:70000", "1.2.3", "1.2.3.4.evil", "[::1", "[::1]x", "[evil]", "evil@127.0.0.1"] {
            #expect(!InspectorRequest.isOwnName(host), "\(host)")
        }
    }
}
