import HTTP
import Testing

@testable import Hooks

/// `onWebSocketMessage`: what a hook makes of a message.
struct WebSocketTests {
    private func run(_ code: String, _ text: String, isText: Bool = true, fromClient: Bool = false) throws -> (HookOutcome?, HookMessage?) {
        let bench = try Bench("export default { onWebSocketMessage(data, ctx, env) { \(code) } };")
        bench.call.message = HookMessage(Array(text.utf8), isText: isText, fromClient: fromClient)
        let outcome = bench.run(.webSocket)
        return (outcome, bench.call.message)
    }

    private func text(_ message: HookMessage?) -> String { message.map { String(decoding: $0.bytes, as: UTF8.self) } ?? "nothing" }

    @Test func nothingReturnedPassesItOn() throws {
        let (outcome, message) = try run("", "hello")
        #expect(line(outcome) == "proceed unchanged")
        #expect(message == HookMessage(Array("hello".utf8), isText: true, fromClient: false))
    }

    @Test func aStringTakesItsPlace() throws {
        let (_, message) = try run(#"return data.replace(/\b\d{12}(\d{4})\b/g, "************$1");"#, "card 1234567890123456 é")
        #expect(text(message) == "card ************3456 é")
        #expect(message?.isText == true)
    }

    @Test func bytesComeAsBytesAndGoAsBytes() throws {
        let (_, message) = try run("return data.map((one) => one + 1);", "abc", isText: false)
        #expect(text(message) == "bcd")
        #expect(message?.isText == false)
        let (_, buffer) = try run("return data.slice().buffer;", "abc", isText: false)
        #expect(text(buffer) == "abc")
    }

    @Test func nullDropsIt() throws {
        let (outcome, message) = try run("return null;", "x")
        #expect(line(outcome) == "proceed unchanged")
        #expect(message == nil)
    }

    @Test func itKnowsWhoSentItAndTheRequest() throws {
        #expect(text(try run("return `${ctx.from} ${ctx.request.method} ${typeof env}`;", "x").1) == "origin POST object")
        #expect(text(try run("return ctx.from;", "x", fromClient: true).1) == "client")
    }

    @Test func denyEndsTheWebSocket() throws {
        guard case .deny? = try run("ctx.deny();", "x").0 else {
            Issue.record("no refusal")
            return
        }
    }

    @Test func whatIsNoMessageIsABadReturn() throws {
        let (outcome, _) = try run("return 5;", "x")
        #expect(line(outcome).contains("onWebSocketMessage() returned a number"))
        #expect(line(try run("return new Response('x');", "x").0).contains("onWebSocketMessage() returned"))
    }

    @Test func headersOfTheHandshakeCannotBeChangedAnyMore() throws {
        let bench = try Bench("export default { onWebSocketMessage(data, ctx) { ctx.request.headers.set('x-late', '1'); return 'ok'; } };")
        bench.call.message = HookMessage([120], isText: true, fromClient: true)
        _ = bench.run(.webSocket)
        #expect(bench.exchange.request.text(of: "x-late") == nil)
    }

    @Test func stateGoesFromMessageToMessage() throws {
        let bench = try Bench("export default { onWebSocketMessage(data, ctx) { ctx.state.n = (ctx.state.n ?? 0) + 1; return `${data} ${ctx.state.n}`; } };")
        for n in 1...3 {
            bench.call.message = HookMessage([120], isText: true, fromClient: true)
            _ = bench.run(.webSocket)
            #expect(text(bench.call.message) == "x \(n)")
        }
    }

    @Test func anAsynchronousHandlerIsAwaited() throws {
        let bench = try Bench("export default { async onWebSocketMessage(data) { await new Promise((done) => setTimeout(done, 10)); return data + data; } };")
        bench.call.message = HookMessage(Array("ab".utf8), isText: true, fromClient: true)
        #expect(line(bench.run(.webSocket)) == "pending")
        bench.advance(milliseconds: 11)
        #expect(bench.call.outcomes.map(line) == ["proceed unchanged"])
        #expect(text(bench.call.message) == "abab")
    }
}
