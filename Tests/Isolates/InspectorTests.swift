import Isolates
import Testing

/// Keeps what the inspector says, and lets a test speak while a script stands at a breakpoint.
private final class Listener: IsolateInspector {
    var said: [String] = []
    var whilePaused: (() -> Void)?
    var isOver = false

    override func send(_ session: Int32, _ message: Span<UInt8>) {
        said.append(String(decoding: (0..<message.count).map { message[$0] }, as: UTF8.self))
    }
    override func pause() { whilePaused?() }
    override func ended() { isOver = true }
    func heard(_ text: String) -> Bool { said.contains { $0.contains(text) } }
}

@Suite struct InspectorTests {
    private static func make() throws -> Box {
        let prelude = try Prelude(
            name: "prelude.js", source: "return { run() { const answer = 40; debugger; return answer + 2; }, loop() { for (;;); } };",
            operations: [], entries: ["run", "loop"])
        return Box(try Isolate(name: "inspected", prelude: prelude, operations: NativeOperations()))
    }

    final class Box {
        let isolate: Isolate
        init(_ isolate: consuming Isolate) { self.isolate = isolate }
        func join(_ session: Int32) -> Bool { isolate.connectInspector(session) }
        var isPaused: Bool { isolate.isPaused }
        func ask(_ session: Int32, _ text: String) { isolate.inspect(session, Array(text.utf8)) }
    }

    @Test func `a script pauses, is looked into and goes on, and its clocks stand still`() throws {
        let box = try Self.make(), listener = Listener()
        box.isolate.openInspector(listener, folder: "/tmp")
        #expect(box.join(1) && !box.join(1))
        box.ask(1, #"{"id":1,"method":"Debugger.enable"}"#)
        var pauses = 0
        listener.whilePaused = {
            pauses += 1
            #expect(box.isPaused)
            // Beyond the turn's own limit: an evaluation has limits of its own.
            box.ask(1, #"{"id":2,"method":"Runtime.evaluate","params":{"expression":"{ const e = Date.now() + 60; while (Date.now() < e); 'é' + 1 }"}}"#)
            box.ask(1, #"{"id":3,"method":"Debugger.resume"}"#)
        }
        box.isolate.beginTurn(cpuMicroseconds: 30_000, wallMilliseconds: 30)
        let result = box.isolate.call(0)
        let report = box.isolate.endTurn()
        #expect("\(result)" == "int(42)")
        #expect(report.termination == nil && pauses == 1 && !box.isPaused)
        #expect(listener.heard("Debugger.paused") && listener.heard(#""value":"\u00e91""#))
    }

    @Test func `the last client to go lets the script go on`() throws {
        let box = try Self.make(), listener = Listener()
        box.isolate.openInspector(listener, folder: "/tmp")
        _ = box.join(1)
        _ = box.join(2)
        box.ask(1, #"{"id":1,"method":"Debugger.enable"}"#)
        listener.whilePaused = {
            box.isolate.disconnectInspector(2)
            #expect(box.isPaused)
            box.isolate.disconnectInspector(1)
        }
        box.isolate.beginTurn(cpuMicroseconds: 1_000_000, wallMilliseconds: 10_000)
        let result = box.isolate.call(0)
        box.isolate.endTurn()
        #expect("\(result)" == "int(42)")
    }

    @Test func `limits hold when nobody debugs`() throws {
        let box = try Self.make()
        box.isolate.openInspector(Listener(), folder: "")
        #expect(box.join(1))
        box.ask(1, #"{"id":1,"method":"Debugger.enable"}"#)
        box.isolate.disconnectInspector(1)
        box.isolate.beginTurn(cpuMicroseconds: 20_000, wallMilliseconds: 10_000)
        _ = box.isolate.call(1)
        let report = box.isolate.endTurn()
        #expect(report.termination == .cpu)
    }

    @Test func `sessions are counted, and end with the isolate`() throws {
        let listener = Listener()
        do {
            let box = try Self.make()
            #expect(!box.join(1))
            box.isolate.openInspector(listener, folder: "")
            #expect((1...20).filter { box.join($0) }.count == 8)
            box.ask(99, "{}")
            box.ask(1, "not JSON")
        }
        #expect(listener.isOver)
    }
}
