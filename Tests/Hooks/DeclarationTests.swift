import HTTP
import Testing

@testable import Hooks

/// `sluice types`: the declarations say what is there, no less and no more.
struct DeclarationTests {
    /// Names of the members of an interface of the declarations.
    private func members(_ interface: String) -> Set<String> {
        let lines = HookDeclarations.text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let start = lines.firstIndex(where: { $0.hasPrefix("  interface \(interface)<") || $0.hasPrefix("  interface \(interface) ") }) else { return [] }
        let body = lines[(start + 1)...]
        var names: Set<String> = []
        for line in body {
            if line == "  }" { break }
            guard line.hasPrefix("    "), !line.hasPrefix("    /**"), !line.hasPrefix("    //") else { continue }
            let word = line.dropFirst(4).replacing("readonly ", with: "").prefix { $0.isLetter || $0.isNumber }
            names.insert(String(word))
        }
        return names
    }

    private func names(_ expression: String) throws -> Set<String> {
        Set(try evaluate("(\(expression)).join(' ')").split(separator: " ").map(String.init))
    }

    private static let own = "Object.getOwnPropertyNames(Object.getPrototypeOf(%)).filter((one) => one !== 'constructor')"

    @Test func theContextIsDeclaredAsItIs() throws {
        #expect(members("Context") == (try names(Self.own.replacing("%", with: "ctx"))))
    }

    @Test func theEventIsDeclaredAsItIs() throws {
        let bench = try Bench("""
            addEventListener("request", (event) => {
              event.respondWith(new Response(\(Self.own.replacing("%", with: "event")).join(" ")));
            });
            """)
        guard case .respond(let body)? = bench.run() else {
            Issue.record("no answer")
            return
        }
        let there = Set(text(body).split(separator: " ").map(String.init))
        #expect(there.subtracting(members("ExchangeEvent")).isEmpty)
        #expect(members("ExchangeEvent").subtracting(there).subtracting(["addResponseHeader"]).isEmpty)
    }

    @Test func everyHandlerIsDeclared() {
        let declared = members("Handlers")
        for phase in HookPhase.allCases { #expect(declared.contains("\(phase.handlerName)"), "\(phase)") }
        #expect(declared.contains("firewall"))
    }

    @Test func whatIsDeclaredGloballyIsThere() throws {
        for name in ["HTMLRewriter", "IdentityTransformStream", "FixedLengthStream", "Azion", "WebSocketPair", "upgradeWebSocket", "scheduler"] {
            #expect(["class", "const", "function"].contains { HookDeclarations.text.contains("declare \($0) \(name)") })
            #expect(try evaluate("typeof \(name) !== 'undefined'") == "true", "\(name)")
        }
    }

    @Test func eachFunctionHasItsOwnEnvironment() {
        let text = HookDeclarations.text(for: [
            .init(name: "authz", place: "sluice.yaml:4", environment: [("SESSIONS", "KVNamespace"), ("idp", "Fetcher")], arguments: ["{\"audience\":\"app\",\"n\":1}"]),
            .init(name: "bare", place: "sluice.yaml:9", environment: [], arguments: []),
        ])
        #expect(text.contains("""
                /** sluice.yaml:4 */
                "authz": {
                  env: { readonly "SESSIONS": KVNamespace; readonly "idp": Fetcher; };
                  args: { readonly "audience": string; readonly "n": number };
                };
                /** sluice.yaml:9 */
                "bare": {
                  env: {};
                  args: {};
                };
            """))
    }

    @Test(arguments: [
        ([], "{}"), (["{}"], "{}"), (["{\"a\":[1,2],\"b\":[1,\"x\"],\"c\":{\"d\":null}}"], "{ readonly \"a\": readonly number[]; readonly \"b\": readonly (number | string)[]; readonly \"c\": { readonly \"d\": null } }"),
        (["{\"a\":true}", "{\"a\":\"x\\\"y\"}", "{\"a\":false}"], "{ readonly \"a\": boolean } | { readonly \"a\": string }"),
        (["[]"], "readonly never[]"), (["-1.5e3"], "number"),
    ] as [([String], String)])
    func argumentsHaveTheTypeOfTheirValues(_ texts: [String], _ type: String) { #expect(HookDeclarations.argumentType(texts) == type) }
}
