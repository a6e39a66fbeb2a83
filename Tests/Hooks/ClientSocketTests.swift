import Buffers
import HTTP
import Testing

@testable import Hooks

/// WebSockets that a hook opens by a URL.
struct ClientSocketTests {
    /// `new WebSocket(url)`: what is wrong with its arguments is thrown (WHATWG WebSockets section 3.1).
    @Test(arguments: [
        ("new WebSocket('/path')", "SyntaxError: new WebSocket: \"/path\" is not an absolute URL"),
        ("new WebSocket('ftp://a.test/')", "SyntaxError: new WebSocket: ftp: is not ws: or wss:"),
        ("new WebSocket('wss://a.test/#part')", "SyntaxError: new WebSocket: the URL has a fragment"),
        ("new WebSocket('wss://a.test/', ['a', 'a'])", "SyntaxError: new WebSocket: \"a\" is no subprotocol, or there twice"),
        ("new WebSocket('wss://a.test/', 'a b')", "SyntaxError: new WebSocket: \"a b\" is no subprotocol, or there twice"),
        ("new WebSocket()", "TypeError: new WebSocket: 1 argument required, 0 given"),
        ("(new WebSocket('wss://a.test/')).send('x')", "InvalidStateError: WebSocket.send: it is not open yet"),
        ("new Promise((done) => { new WebSocket('wss://a.test/').onerror = ({ message }) => done(message); })", "the WebSocket failed: a.test is not granted to this function; its egress has to name it"),
    ])
    func aClientsWebSocketIsMadeOfAURL(_ expression: String, _ expected: String) throws {
        #expect(try evaluate(expression) == expected)
    }

    @Test func aClientsWebSocketAsksAsFetchDoes() throws {
        let bench = try Bench("""
            export default { async onRequest() {
              const socket = new WebSocket('ws://a.test/room?x=1', ['one', 'two']), told = [socket.url, socket.readyState];
              socket.onopen = () => { told.push('open', socket.protocol); socket.send('hello'); };
              socket.onclose = ({ code, reason }) => told.push(code, reason);
              return new Promise((done) => { socket.onmessage = ({ data }) => { socket.close(4000, 'bye'); done(new Response([...told, data].join())); }; });
            } };
            """, source: { $0.reachesOutside = true })
        let call = SocketTests.SocketCall()
        #expect(bench.run(.request, call) == nil)
        let asked = try #require(call.subrequests.first)
        #expect(asked.upstream == HookSubrequest.outside && asked.upgrades)
        #expect(asked.head.text(asked.head.authority) == "a.test" && asked.head.scheme == .http)
        call.subrequestUpgraded(asked.id, Array("sec-websocket-protocol\ntwo\n".utf8))
        #expect(call.acts == ["\(asked.id): text hello"])
        call.say("answer", on: asked.id)
        #expect(line(call.outcomes.first) == "respond ws://a.test/room?x=1,0,open,two,answer")
        #expect(call.acts.last == "\(asked.id): close 4000 bye")
    }

    @Test(arguments: [("three", "1006"), ("", "open")])
    func aSubprotocolThatWasNotOfferedFails(_ chosen: String, _ expected: String) throws {
        let bench = try Bench("""
            export default { onRequest() {
              const socket = new WebSocket('wss://a.test/', 'one');
              return new Promise((done) => { socket.onopen = () => done(new Response('open')); socket.onclose = ({ code }) => done(new Response(code)); });
            } };
            """, source: { $0.reachesOutside = true })
        let call = SocketTests.SocketCall()
        _ = bench.run(.request, call)
        let asked = try #require(call.subrequests.first)
        call.subrequestUpgraded(asked.id, chosen.isEmpty ? [] : Array("sec-websocket-protocol\n\(chosen)\n".utf8))
        #expect(line(call.outcomes.first) == "respond \(expected)")
    }
}
