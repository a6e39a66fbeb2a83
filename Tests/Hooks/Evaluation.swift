import Testing

@testable import Hooks

/// The value of an expression inside a hook, as text; an error as `NAME: MESSAGE`.
func evaluate(_ expression: String) throws -> String {
    let bench = try Bench("""
        export default { async onRequest(request, env, ctx) {
          let value;
          try { value = await (\(expression)); } catch (error) { value = `${error.name}: ${error.message}`; }
          return new Response(String(value));
        } }
        """)
    var outcome = bench.run()
    // Time passes only when nothing else happens: 100 ms for what waits for timers.
    for _ in 0..<100 where outcome == nil {
        bench.advance(milliseconds: 1)
        outcome = bench.call.outcomes.popLast()
    }
    guard case .respond(let body)? = outcome else { return "no answer: \(line(outcome))" }
    return text(body)
}

/// Expressions and what they must come to.
func check(_ table: [(String, String)], _ location: SourceLocation = #_sourceLocation) throws {
    for (expression, expected) in table {
        let found = try evaluate(expression)
        #expect(found == expected, "\(expression)", sourceLocation: location)
    }
}
