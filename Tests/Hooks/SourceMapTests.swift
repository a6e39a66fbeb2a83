import HTTP
import Testing

@testable import Hooks

/// Failures of bundled hooks are told where their author wrote them.
struct SourceMapTests {
    private func encoded(_ text: String) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        let bytes = Array(text.utf8)
        var out = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let part = (0..<3).map { start + $0 < bytes.count ? UInt32(bytes[start + $0]) : 0 }
            let group = part[0] << 16 | part[1] << 8 | part[2]
            for index in 0..<4 { out.append(start + index <= bytes.count ? alphabet[Int(group >> UInt32(18 - 6 * index)) & 63] : "=") }
        }
        return out
    }

    private func module(_ code: String, sources: String = #"["../src/authz.ts","../src/lib.ts"]"#, mappings: String, more: String = "") -> String {
        let map = #"{"version":3,"sources":\#(sources),\#(more)"names":[],"mappings":"\#(mappings)"}"#
        return "\(code)\n//# sourceMappingURL=data:application/json;charset=utf-8;base64,\(encoded(map))\n"
    }

    @Test func placesAreFoundByLineAndColumn() throws {
        // Line 1: column 0 is authz.ts 1:1, column 8 is lib.ts 3:5. Line 2: nothing. Line 3: column 4 is authz.ts 6:1.
        let map = try #require(SourceMap(of: module("a\nb\nc", mappings: "AAAA,QCEI;;IDGJ"), at: "hooks/authz.js"))
        func place(_ line: Int, _ column: Int) -> String { map.original(line: line, column: column).map { "\($0.file):\($0.line):\($0.column)" } ?? "nowhere" }
        #expect(place(1, 1) == "src/authz.ts:1:1")
        #expect(place(1, 8) == "src/authz.ts:1:1")
        #expect(place(1, 9) == "src/lib.ts:3:5")
        #expect(place(1, 900) == "src/lib.ts:3:5")
        #expect(place(2, 1) == "nowhere")
        #expect(place(3, 1) == "nowhere")
        #expect(place(3, 5) == "src/authz.ts:6:1")
        #expect(place(4, 1) == "nowhere")
    }

    @Test func sourcesAreNamedFromTheModulesFolderOn() throws {
        func name(_ source: String, _ path: String, root: String = "") throws -> String? {
            let map = try #require(SourceMap(of: module("a", sources: "[\"\(source)\"]", mappings: "AAAA", more: root.isEmpty ? "" : "\"sourceRoot\":\"\(root)\","), at: path))
            return map.original(line: 1, column: 1)?.file
        }
        #expect(try name("./a.ts", "hooks/out/a.js") == "hooks/out/a.ts")
        #expect(try name("../../src/a.ts", "hooks/out/a.js") == "src/a.ts")
        #expect(try name("../a.ts", "a.js") == "../a.ts")
        #expect(try name("/abs/a.ts", "a.js") == "/abs/a.ts")
        #expect(try name("a.ts", "out/a.js", root: "../src") == "src/a.ts")
        #expect(try name("webpack://x/a.ts", "a.js") == "webpack://x/a.ts")
    }

    @Test(arguments: ["!", "AAAAgggggggg", "AAAD", "AEAA", "D"])
    func mappingsThatAreNoneAreNoMap(_ mappings: String) { #expect(SourceMap(of: module("a", mappings: mappings), at: "a.js").map { _ in true } == nil) }

    @Test func aMapMayKnowNothing() throws {
        let map = try #require(SourceMap(of: module("a", mappings: ""), at: "a.js"))
        #expect(map.original(line: 1, column: 1)?.file == nil)
    }

    @Test func aModuleWithoutAMapOrWithABrokenOneHasNone() {
        #expect(SourceMap(of: "export default {};", at: "a.js").map { _ in true } == nil)
        #expect(SourceMap(of: "a\n//# sourceMappingURL=a.js.map\n", at: "a.js").map { _ in true } == nil)
        #expect(SourceMap(of: "a\n//# sourceMappingURL=data:application/json;base64,!!!\n", at: "a.js").map { _ in true } == nil)
        #expect(SourceMap(of: "a\n//# sourceMappingURL=data:application/json;base64,\(encoded("[1"))\n", at: "a.js").map { _ in true } == nil)
        #expect(SourceMap(of: "a\n//# sourceMappingURL=data:application/json;base64,\(encoded(String(repeating: "[", count: 500)))\n", at: "a.js").map { _ in true } == nil)
    }

    @Test func aFailureIsToldWhereItsAuthorWroteIt() throws {
        // Line 2 of the bundle, whatever the column, is lib.ts 41:3.
        let code = module("export default { onRequest(request) {\n  throw new Error('late'); } };", mappings: "AAAA;ACwCE")
        let runtime = HookRuntime(host: HookHost())
        let function = try runtime.load(HookSource(name: "f", main: "hooks/a.js", modules: ["hooks/a.js": code]))
        let binding = try function.bind(HookRule(name: "r", file: "r.yaml", line: 1))
        let exchange = Exchange()
        fillExchange(exchange)
        guard case .finished(.failed(let failure)) = runtime.start(FakeCall(), function, binding, .request, exchange) else {
            Issue.record("no failure")
            return
        }
        #expect(failure.place == "src/lib.ts:41:3")
    }

    @Test func anErrorAtLoadIsMappedToo() throws {
        let code = module("\nthrow new Error('at load');", mappings: ";ACwCE")
        #expect {
            try HookRuntime(host: HookHost()).load(HookSource(name: "f", main: "hooks/a.js", modules: ["hooks/a.js": code]))
        } throws: { "\($0)".hasPrefix("src/lib.ts:41:3: Error: at load") }
    }
}
