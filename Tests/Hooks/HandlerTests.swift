import Buffers
import HTTP
import Testing

@testable import Hooks

@Suite struct HandlerTests {
    @Test func aHandlerThatReturnsNothingLetsTheRequestGoOnUntouched() throws {
        let bench = try Bench("export default { onRequest(request) { request.headers.get('user-agent'); } }")
        #expect(line(bench.run()) == "proceed unchanged")
        #expect(bench.exchange.request.fields.count == 5)
        #expect(bench.call.isIdle)
        #expect(bench.host.depth == 0)
    }
}
