import Buffers
import Codings
import HTTP
import Rules
import Testing

@Suite struct BodyActionTests {
    func generation(_ text: String) throws -> Generation {
        let result = load(text)
        return Generation(try #require(result.configuration, "\(result.diagnostics.text)"))
    }

    /// Runs a phase and leaves the runner to look at.
    private func enter(_ made: Generation, _ exchange: Exchange, _ phase: Phase, _ look: (inout RuleRunner) -> Void) throws {
        var runner = RuleRunner()
        guard runner.begin(made, exchange) else { throw Missing() }
        runner.enter(phase, exchange)
        while runner.next(exchange) != .done {}
        look(&runner)
    }

    @Test func `compress has three forms and sensible defaults`() throws {
        for text in ["compress: [br, gzip]", "compress: gzip", "compress: {codings: [zstd], min_size: 1KiB, types: [text/*]}", "compress: {}"] {
            let made = try generation(site(response: "- do: [{\(text)}]"))
            let exchange = Sent().exchange()
            exchange.answer(200)
            try enter(made, exchange, .response) { runner in
                let settings = runner.compression
                switch text {
                case "compress: [br, gzip]": #expect(settings?.codings == [.brotli, .gzip])
                case "compress: gzip": #expect(settings?.codings == [.gzip] && settings?.minimum == 256)
                case "compress: {}": #expect(settings?.codings == [.zstd, .brotli, .gzip])
                default: #expect(settings?.codings == [.zstd] && settings?.minimum == 1024 && settings?.types.written == ["text/*"])
                }
            }
        }
        #expect(load(site(response: "- do: [{compress: [lzma]}]")).diagnostics.map { $0.code.rawValue } == ["V005"])
        #expect(load(site(response: "- do: [{compress: {types: [text]}}]")).diagnostics.map { $0.code.rawValue } == ["V013"])
        #expect(load(site(request: "- do: [{compress: gzip}]")).diagnostics.map { $0.code.rawValue } == ["R013"])
    }

    @Test func `types are compared without case and parameters`() {
        func has(_ types: [String], _ value: String) -> Bool { MediaTypes(types).contain(Array(value.utf8).span) }
        #expect(has(["text/html"], "Text/HTML; charset=utf-8"))
        #expect(!has(["text/html"], "text/htmlx"))
        #expect(has(["text/*"], "text/css"))
        #expect(!has(["text/*"], "textual/css"))
        #expect(has(["*"], "anything/at-all"))
        #expect(has(["*/*"], "a/b"))
        #expect(!has(["text/html"], ""))
        #expect(has(MediaTypes.compressible.written, "application/wasm"))
        #expect(!has(MediaTypes.textual.written, "application/wasm"))
        #expect(!has(MediaTypes.compressible.written, "image/png"))
    }

    private func texts(_ type: String) throws -> [String] {
        let made = try generation(site(response: """
            - do:
                - replace_body: {find: a, with: "[${arg.q}]"}
                - replace_body: [{find: b, with: fixed}, {find: "c\\n", with: ""}]
            """))
        let exchange = Sent(target: "/?q=%3Cb%22%0a'%26").exchange()
        exchange.answer(200, [("Content-Type", type)])
        var result: [String] = []
        try enter(made, exchange, .response) { runner in
            result = runner.replacing(exchange)?.with.map { String(decoding: $0, as: UTF8.self) } ?? []
        }
        return result
    }

    @Test func `what a client sends is escaped for the type of the answer`() throws {
        #expect(try texts("text/html") == ["[&lt;b&quot;\n&#39;&amp;]", "fixed", ""])
        #expect(try texts("application/xhtml+xml") == ["[&lt;b&quot;\n&#39;&amp;]", "fixed", ""])
        #expect(try texts("application/json") == ["[<b\\\"\\u000A'&]", "fixed", ""])
        #expect(try texts("text/plain") == ["[<b\"\n'&]", "fixed", ""])
    }

    @Test func `find is a fixed text`() {
        func codes(_ pair: String) -> [String] { load(site(response: "- do: [{replace_body: {\(pair)}}]")).diagnostics.map { $0.code.rawValue } }
        #expect(codes("find: \"${host}\", with: x") == ["V013"])
        #expect(codes("find: \"\", with: x") == ["V013"])
        #expect(codes("find: x") == ["R001"])
        #expect(codes("find: x, with: \"${nothing}\"") == ["T001"])
        #expect(codes("find: \"$${host}\", with: x") == [])
    }

    @Test func `mirrors are named once, by percent, and only when defined`() throws {
        let made = try generation(site(request: "- do: [{mirror: other}, {mirror: {to: other, percent: 100}}, {mirror: main}]"))
        let exchange = Sent().exchange()
        try enter(made, exchange, .request) { #expect($0.mirrors == [1, 0]) }
        let some = try generation(site(request: "- do: [{mirror: {to: other, percent: 10}}]"))
        var chosen = 0
        for number in 0..<1_000 {
            let exchange = Sent().exchange()
            exchange.requestID = RequestID(high: UInt64(number), low: 0)
            try enter(some, exchange, .request) { chosen += $0.mirrors.count }
        }
        #expect(chosen == 100)
        #expect(load(site(request: "- do: [{mirror: nobody}]")).diagnostics.map { $0.code.rawValue } == ["U002"])
        #expect(load(site(request: "- do: [{mirror: {to: other, percent: 0}}]")).diagnostics.map { $0.code.rawValue } == ["V001"])
    }
}
