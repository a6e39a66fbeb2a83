import Buffers
import HTTP
import Testing

@testable import Hooks

/// WebSockets that a hook ends itself.
struct SocketTests {
    /// A call whose client is played by the test.
    final class SocketCall: FakeCall {
        var acts: [String] = []
        /// What it runs in stays as long as it does.
        var home: AnyObject?
        var ready = 0
        override func socketActed() {
            for (id, action) in takeSocketActions() {
                let place = id == 0 ? "" : "\(id): "
                switch action {
                case .message(let message): acts.append("\(place)\(message.isText ? "text" : "bytes") \(String(decoding: message.bytes, as: UTF8.self))")
                case .close(let code, let reason): acts.append("\(place)close \(code) \(reason)")
                }
            }
        }
        override func socketReady(_ id: Int32) { ready += 1 }
        override func socketBroken(_ failure: HookFailure) { broken.append(failure) }

        func say(_ text: String, on id: Int32 = 0) { socketMessage(HookMessage(Array(text.utf8), isText: true, fromClient: id == 0), on: id) }
    }

    static let head = "const [client, server] = Object.values(new WebSocketPair()); server.accept();"
    static let tail = "return new Response(null, { status: 101, webSocket: client });"

    private func open(
        _ body: String, _ handler: String = "fetch", limits: (inout HookLimits) -> Void = { _ in }, asks: Bool = true
    ) throws -> (Bench, SocketCall, HookOutcome?) {
        let bench = try Bench("export default { async \(handler)(request, env, ctx) { \(Self.head) \(body); \(Self.tail) } };", limits: limits)
        if asks { Self.ask(bench.exchange) }
        let call = SocketCall()
        call.home = bench
        let outcome = bench.run(handler == "fetch" ? .fetch : .request, call)
        call.socketOpened()
        return (bench, call, outcome)
    }

    static func ask(_ exchange: Exchange) {
        exchange.request.setMethod(Span("GET"))
        exchange.request.set(.upgrade, "websocket")
        exchange.request.body = .none
    }

    @Test(arguments: ["fetch", "onRequest"]) func aHookAnswersWithAWebSocket(handler: String) throws {
        let (bench, call, outcome) = try open("server.send('early'); server.addEventListener('message', ({ data }) => server.send(`you said ${data}`))", handler)
        #expect(outcome.map { if case .respond(.socket) = $0 { true } else { false } } == true)
        #expect(bench.exchange.response.status == 101)
        #expect(call.isSocketOpen && !call.isIdle)
        call.say("hello é")
        #expect(call.acts == ["text early", "text you said hello é"])
        #expect(call.ready == 1)
        call.socketClosed(1000, "done", clean: true)
        #expect(call.isIdle && call.releases == 1)
    }

    @Test func bytesComeAsAnArrayBufferAndAnyViewIsSent() throws {
        let (_, call, _) = try open("""
            server.onmessage = ({ data }) => {
              server.send(`${data instanceof ArrayBuffer} ${data.byteLength}`);
              server.send(data); server.send(new Uint8Array(data, 1, 2)); server.send(new DataView(data, 2));
            }
            """)
        call.socketMessage(HookMessage(Array("abcd".utf8), isText: false, fromClient: true))
        #expect(call.acts == ["text true 4", "bytes abcd", "bytes bc", "bytes cd"])
    }

    @Test func aBlobWhenTheHookWantsOne() throws {
        let (_, call, _) = try open("server.binaryType = 'blob'; server.onmessage = async ({ data }) => server.send(`${data.constructor.name} ${await data.text()}`)")
        call.socketMessage(HookMessage(Array("abcd".utf8), isText: false, fromClient: true))
        #expect(call.acts == ["text Blob abcd"])
    }

    @Test func openAndCloseAreTold() throws {
        let (_, call, _) = try open("""
            server.addEventListener('open', () => server.send(`open ${server.readyState}`));
            server.addEventListener('close', ({ code, reason, wasClean }) => console.log(code, reason, wasClean, server.readyState));
            server.addEventListener('error', ({ message }) => console.log('error', message))
            """)
        #expect(call.acts == ["text open 1"])
        call.socketClosed(1006, "", clean: false, error: "the connection was lost")
        let lines = (call.function?.host as? FakeHost)?.lines
        #expect(lines == ["under test 1: error the connection was lost", "under test 1: 1006  false 3"])
    }

    @Test func closingSaysCodeAndReason() throws {
        let (_, call, _) = try open("server.onmessage = () => { server.close(4001, 'enough'); server.close(1000); server.send('too late'); console.log(server.readyState); }")
        call.say("x")
        #expect(call.acts == ["close 4001 enough"])
        call.socketClosed(4001, "enough", clean: true)
        #expect(call.isIdle)
    }

    @Test(arguments: [
        ("server.close(1005)", "InvalidAccessError"), ("server.close(999)", "InvalidAccessError"), ("server.close(5000)", "InvalidAccessError"),
        ("server.close(1000, 'é'.repeat(62))", "SyntaxError"), ("server.send()", "TypeError"), ("client.send('x')", "InvalidStateError"),
        ("new WebSocket('example.com')", "SyntaxError"), ("new Response(null, {status: 101})", "RangeError"),
        ("new Response(null, {status: 200, webSocket: client})", "TypeError"), ("new Response(null, {status: 101, webSocket: {}})", "TypeError"),
        ("new Response(null, {status: 101, webSocket: client}).clone()", "TypeError"),
        ("upgradeWebSocket(new Request('http://x.test/'))", "TypeError"),
    ]) func mistakesAreNamed(_ code: String, _ name: String) throws {
        let (_, call, _) = try open("try { \(code); server.send('nothing'); } catch (error) { server.send(error.name); }")
        #expect(call.acts == ["text \(name)"])
    }

    @Test func theWrongEndCannotBeReturned() throws {
        let bench = try Bench("export default { fetch() { \(Self.head) return new Response(null, { status: 101, webSocket: server }); } };")
        Self.ask(bench.exchange)
        #expect(line(bench.run(.fetch)).contains("cannot be given to a client"))
    }

    @Test func aRequestThatAsksForNoneGetsNone() throws {
        let (_, call, outcome) = try open("", asks: false)
        #expect(line(outcome).contains("answers a request that asks for none"))
        #expect(call.isIdle)
    }

    @Test func onResponseCannotOpenOne() throws {
        let bench = try Bench("export default { onResponse() { \(Self.head) \(Self.tail) } };")
        Self.ask(bench.exchange)
        #expect(line(bench.run(.response)).contains("in onRequest and fetch only"))
    }

    @Test func aListenerThatThrowsEndsIt() throws {
        for listener in ["() => { throw new Error('broken'); }", "async () => { await null; throw new Error('broken'); }", "() => setTimeout(() => { throw new Error('broken'); }, 1)"] {
            let (bench, call, _) = try open("server.onmessage = \(listener)")
            call.say("x")
            bench.advance(milliseconds: 2)
            #expect(call.broken.map(\.message) == ["Error: broken"], "\(listener)")
            #expect(call.broken.first?.line == 1)
            #expect(call.isIdle && call.releases == 1)
        }
    }

    @Test func eachMessageHasTheCPULimitAnewAndOneThatBreaksItEndsIt() throws {
        let (_, call, _) = try open(
            "server.onmessage = ({ data }) => { if (data === 'loop') while (true) {} for (const end = Date.now() + 30; Date.now() < end;) {} server.send(data); }"
        ) { $0.cpuMicroseconds = 100_000 }
        for n in 0..<8 { call.say("\(n)") }
        #expect(call.acts == (0..<8).map { "text \($0)" }, "240 ms in all")
        call.say("loop")
        #expect(call.broken.map(\.kind) == [.cpu])
        #expect(call.isIdle)
    }

    @Test func timeWithoutMessagesIsNotCounted() throws {
        let (bench, call, _) = try open("server.onmessage = ({ data }) => setTimeout(() => server.send(`late ${data}`), 60_000)") { $0.wallMilliseconds = 1_000 }
        bench.advance(milliseconds: 3_600_000)
        call.say("a")
        bench.advance(milliseconds: 61_000)
        #expect(call.acts == ["text late a"])
        #expect(call.isSocketOpen)
    }

    @Test func memoryThatIsUsedUpEndsIt() throws {
        let (_, call, _) = try open("server.onmessage = () => { const all = []; while (true) all.push(new Array(1000).fill(all.length)); }") { $0.memoryBytes = 8 << 20 }
        call.say("x")
        #expect(call.broken.map(\.kind) == [.memory])
    }

    @Test func whatWaitsForTheClientIsBounded() throws {
        let (_, call, _) = try open("""
            server.onmessage = ({ data }) => {
              if (data === 'more') return server.send(`${server.bufferedAmount}`);
              const piece = new Uint8Array(1 << 20);
              try { for (let n = 0; n < 9; n++) server.send(piece); } catch (error) { console.log(error.name, server.bufferedAmount); }
            }
            """)
        call.say("x")
        #expect(call.acts.count == 4)
        #expect((call.function?.host as? FakeHost)?.lines == ["under test 1: QuotaExceededError 4194304"])
        #expect(call.takeRefusedMessages() == 1)
        call.socketLeft(3 << 20)
        call.say("more")
        #expect(call.acts.last == "text 1048576")
    }

    @Test func listenersAtWorkHoldTheNextMessageBack() throws {
        let (bench, call, _) = try open("server.onmessage = () => new Promise((done) => setTimeout(done, 5))")
        for _ in 0..<16 { call.say("x") }
        #expect(call.ready == 15)
        bench.advance(milliseconds: 6)
        #expect(call.ready == 16)
    }

    @Test func messagesWaitUntilTheHookAccepts() throws {
        let bench = try Bench("""
            export default { fetch() {
              const [client, server] = Object.values(new WebSocketPair());
              server.onmessage = ({ data }) => server.send(data);
              setTimeout(() => server.accept(), 10);
              return new Response(null, { status: 101, webSocket: client });
            } };
            """)
        Self.ask(bench.exchange)
        let call = SocketCall()
        bench.run(.fetch, call)
        call.socketOpened()
        call.say("patience")
        #expect(call.acts == [] && call.ready == 0)
        bench.advance(milliseconds: 11)
        #expect(call.acts == ["text patience"] && call.ready == 1)
    }

    @Test func upgradeWebSocketIsTheSameInOneStep() throws {
        let bench = try Bench("""
            export default { fetch(request) {
              const { socket, response } = upgradeWebSocket(request, { protocol: "chat" });
              socket.onopen = () => socket.send(`hello ${socket.protocol}`);
              return response;
            } };
            """)
        Self.ask(bench.exchange)
        let call = SocketCall()
        bench.run(.fetch, call)
        call.socketOpened()
        #expect(call.acts == ["text hello chat"])
        #expect(bench.exchange.response.text(of: "sec-websocket-protocol") == "chat")
    }

    @Test func aPairInsideOneHookTalksToItself() throws {
        #expect(try evaluate("""
            new Promise((done) => {
              const [a, b] = Object.values(new WebSocketPair()), seen = [];
              a.accept(); b.accept();
              b.onmessage = ({ data }) => { seen.push(data); b.send(data + data); };
              a.onmessage = ({ data }) => { seen.push(data); a.close(1000, "bye"); };
              b.onclose = ({ code, reason }) => done([...seen, code, reason].join(" "));
              a.send("x");
            })
            """) == "x xx 1000 bye")
    }

    @Test func aClientThatLeavesTellsTheHookAndItsTailGoesOn() throws {
        let (bench, call, _) = try open("server.onclose = ({ code }) => ctx.waitUntil(new Promise((done) => setTimeout(() => { console.log('tidied', code); done(); }, 20)))")
        call.socketClosed(1001, "", clean: false)
        #expect(!call.isIdle)
        bench.advance(milliseconds: 21)
        #expect(call.isIdle && bench.host.lines == ["under test 1: tidied 1001"])
    }

    @Test func theConstantsStandOnBothSides() throws {
        #expect(try evaluate("[WebSocket.CONNECTING, WebSocket.OPEN, WebSocket.CLOSING, WebSocket.CLOSED, new WebSocketPair()[0].CLOSED].join()") == "0,1,2,3,3")
        #expect(try evaluate("Object.prototype.toString.call(new WebSocketPair()[1])") == "[object WebSocket]")
    }

    // MARK: To upstreams

    private static let relay = """
        export default { async fetch(request, env) {
          const answer = await env.chat.fetch("/room", { headers: { upgrade: "websocket" } });
          const link = answer.webSocket;
          if (link === null) return new Response(`refused: ${answer.status}`, { status: 502 });
          const { socket, response } = upgradeWebSocket(request);
          link.accept();
          link.onmessage = ({ data }) => socket.send(`they: ${data}`);
          link.onclose = ({ code }) => socket.close(4000 + code % 1000);
          socket.onmessage = ({ data }) => link.send(`we: ${data}`);
          socket.onclose = () => link.close(1000, "left");
          return response;
        } };
        """

    private static func head(_ status: Int) -> Head {
        var head = Head()
        head.status = status
        return head
    }

    @Test func aHookSpeaksWithAnUpstreamToo() throws {
        let bench = try Bench(Self.relay, upstreams: ["chat"])
        Self.ask(bench.exchange)
        let call = SocketCall()
        #expect(line(bench.run(.fetch, call)) == "pending")
        #expect(call.subrequests.map(\.upgrades) == [true])
        let id = try #require(call.subrequests.first?.id)
        call.subrequestUpgraded(id, Self.head(101))
        #expect(line(call.outcomes.last) == "respond socket")
        call.say("hello", on: id)
        call.say("hi")
        call.socketClosed(1000, "", clean: true)
        #expect(call.acts == ["text they: hello", "\(id): text we: hi", "\(id): close 1000 left"])
        #expect(call.isIdle && call.cancelled == [id])
    }

    @Test func anUpstreamThatClosesIsTold() throws {
        let bench = try Bench(Self.relay, upstreams: ["chat"])
        Self.ask(bench.exchange)
        let call = SocketCall()
        bench.run(.fetch, call)
        let id = try #require(call.subrequests.first?.id)
        call.subrequestUpgraded(id, Self.head(101))
        call.socketClosed(1006, "", clean: false, error: "the connection was lost", on: id)
        #expect(call.acts == ["close 4006 "])
        #expect(call.isSocketOpen)
    }

    @Test func aRefusedUpgradeIsAnAnswerLikeAnyOther() throws {
        let bench = try Bench(Self.relay, upstreams: ["chat"])
        Self.ask(bench.exchange)
        let call = SocketCall()
        bench.run(.fetch, call)
        call.subrequestFinished(call.subrequests[0].id, Self.head(403), body: [])
        #expect(call.outcomes.map(line) == ["respond refused: 403"])
    }

    @Test func anUpstreamsWebSocketCanBeHandedToTheClient() throws {
        let bench = try Bench("export default { fetch(request, env) { return env.chat.fetch('/room', request); } };", upstreams: ["chat"])
        Self.ask(bench.exchange)
        let call = SocketCall()
        bench.run(.fetch, call)
        let id = try #require(call.subrequests.first?.id)
        call.subrequestUpgraded(id, Self.head(101))
        #expect(line(call.outcomes.last) == "respond socket")
        call.say("up")
        call.say("down", on: id)
        #expect(call.acts == ["\(id): text up", "text down"] && call.ready == 2)
        call.socketClosed(4005, "enough", clean: true, on: id)
        #expect(call.acts.last == "close 4005 enough")
        call.socketClosed(4005, "enough", clean: true)
        #expect(call.isIdle)
    }

    @Test func aWebSocketIsAskedForByABareGet() throws {
        let bench = try Bench("""
            export default { async onRequest(request, env) {
              return new Response(await env.chat.fetch("/", { method: "POST", headers: { upgrade: "websocket" } }).catch((error) => error.message));
            } };
            """, upstreams: ["chat"])
        #expect(line(bench.run()) == "respond fetch: a WebSocket is asked for by a GET without a body")
    }

    @Test func linksWorkInACordon() throws {
        let call = SocketCall()
        let pair = try RemotePair(Self.relay, upstreams: ["chat"], call: call)
        Self.ask(pair.exchange)
        try pair.start(call, .fetch)
        let id = try #require(call.subrequests.first?.id)
        #expect(call.subrequests[0].upgrades)
        call.subrequestUpgraded(id, Self.head(101))
        try pair.move()
        call.say("hello", on: id)
        call.say("hi")
        try pair.move()
        #expect(call.acts == ["text they: hello", "\(id): text we: hi"] && call.ready == 2)
        call.socketClosed(1000, "", clean: true)
        try pair.move()
        #expect(call.isIdle)
    }

    // MARK: In a cordon

    private func remote(_ body: String) throws -> (RemotePair, SocketCall) {
        let call = SocketCall()
        let pair = try RemotePair("export default { async fetch(request, env, ctx) { \(Self.head) \(body); \(Self.tail) } };", call: call)
        Self.ask(pair.exchange)
        try pair.start(call, .fetch)
        call.socketOpened()
        try pair.move()
        return (pair, call)
    }

    @Test func aCordonEndsWebSocketsToo() throws {
        let (pair, call) = try remote("server.send('early'); server.onmessage = ({ data }) => { server.send(`you said ${data}`); if (data === 'bye') server.close(4000, 'ok'); }")
        guard case .respond(.socket)? = call.outcomes.last else {
            Issue.record("\(call.outcomes.map(line))")
            return
        }
        #expect(pair.exchange.response.status == 101)
        call.socketActed()
        call.say("bye")
        try pair.move()
        #expect(call.acts == ["text early", "text you said bye", "close 4000 ok"])
        #expect(call.ready == 1)
        call.socketClosed(4000, "ok", clean: true)
        try pair.move()
        #expect(call.isIdle && call.releases == 1)
    }

    @Test func aListenerThatThrowsInACordonEndsIt() throws {
        let (pair, call) = try remote("server.onmessage = () => { throw new Error('broken'); }")
        call.say("x")
        try pair.move()
        #expect(call.broken.map(\.message) == ["Error: broken"])
        #expect(call.isIdle && call.releases == 1)
    }

    @Test func aCordonThatDiesEndsItsWebSockets() throws {
        let (pair, call) = try remote("server.onmessage = ({ data }) => server.send(data)")
        _ = pair.worker.disconnect(running: 0) { pair.worker.failure(.unavailable, $0, "the process is gone") }
        #expect(call.broken.map(\.kind) == [.unavailable])
        #expect(call.isIdle && call.releases == 1)
    }
}
