import HTTP
import Testing

@testable import Hooks

/// HTMLRewriter, and what handlers are given for code from other platforms.
@Suite struct RewriterTests {
    private func rewrite(_ page: String, _ rules: String) throws -> String {
        let bench = try Bench("""
            export default { async onRequest() {
              const page = \(jsonText(page)), bytes = new TextEncoder().encode(page);
              const parts = new ReadableStream({ start(c) {
                for (let at = 0; at < bytes.length; at += 3) c.enqueue(bytes.slice(at, at + 3));
                c.close();
              } });
              return new Response(await \(rules).transform(new Response(parts)).text());
            } }
            """)
        let outcome = bench.run()
        guard case .respond(let body)? = outcome else { return "no answer: \(line(outcome))" }
        return text(body)
    }

    @Test func elementsAreChangedWhateverTheChunks() throws {
        #expect(try rewrite("<a href=\"x\" class='b c'>t</a><a>u</a>", """
            new HTMLRewriter().on("a.b[href]", { element(e) {
              e.setAttribute("href", "https://" + e.getAttribute("href")).append("!").before("<i>", { html: true }).after("&"); } })
            """) == "<i><a href=\"https://x\" class=\"b c\">t!</a>&amp;<a>u</a>")
        #expect(try rewrite("<div><p>hello <b>x</b></p></div><img src=a><br>", """
            new HTMLRewriter().on("div > p b", { element(e) { e.replace("R"); } }).on("img", { element(e) { e.remove(); } })
              .on("p", { text(t) { if (t.text) t.replace(t.text.toUpperCase()); } })
            """) == "<div><p>HELLO R</p></div><br>")
    }

    @Test func scriptsAndCommentsAreNotMistakenForTags() throws {
        #expect(try rewrite("<script>if (a < b) \"</p>\"</script><title>T</title><!-- c -->", """
            new HTMLRewriter().on("title", { element(e) { e.setInnerContent("<new>"); } })
              .on("p", { element(e) { e.remove(); } })
              .onDocument({ comments(c) { c.text = "X"; }, end(d) { d.append("<end/>", { html: true }); } })
            """) == "<script>if (a < b) \"</p>\"</script><title>&lt;new&gt;</title><!--X--><end/>")
        #expect(try rewrite("a < b <3 <p", "new HTMLRewriter()") == "a < b <3 <p")
    }

    @Test func whatAScriptHoldsIsNotRewritten() throws {
        let rules = "new HTMLRewriter().on('a', { element(e) { e.setAttribute('b', 'c'); } })"
        for page in ["<script>x = '</b><a>'; y = '</scripts><a>' </script", "<style></p><a></style", "<TEXTAREA></text</textarea"] {
            #expect(try rewrite("\(page)><a>", rules) == "\(page)><a b=\"c\">")
        }
        #expect(try rewrite("<script></p><a>", rules) == "<script></p><a>")
    }

    @Test func aCommentEndsWhereABrowserEndsIt() throws {
        let rules = "new HTMLRewriter().on('a', { element(e) { e.remove(); } }).onDocument({ comments(c) { c.text = `[${c.text}]`; } })"
        for (comment, text) in [("<!-->", ""), ("<!--->", ""), ("<!---->", ""), ("<!--x--!>", "x"), ("<!--x--->", "x-"), ("<!---!>-->", "-!>"), ("<!--!>-->", "!>")] {
            #expect(try rewrite("\(comment)<a>1</a>2", rules) == "<!--[\(text)]-->2", "\(comment)")
        }
    }

    @Test func whatIsNotSupportedIsSaid() throws {
        let answer = try rewrite("", "new HTMLRewriter().on('a:hover', {})")
        #expect(answer.contains("is not supported"), "\(answer)")
    }

    @Test func aSignalTellsThatTheClientIsGone() throws {
        let bench = try Bench("""
            export default { async onRequest(request, env, ctx) {
              ctx.signal.addEventListener("abort", () => console.log("gone: " + ctx.signal.reason.name));
              await new Promise(() => {});
            } }
            """)
        #expect(bench.run() == nil)
        bench.call.cancel()
        #expect(bench.host.lines == ["under test 1: gone: AbortError"])
    }

    @Test func codeOfOtherPlatformsFindsWhatItAsksFor() throws {
        let bench = try Bench("""
            addEventListener("firewall", (event) => event.waitUntil((async () => {
              const { metadata, cf } = event.request;
              event.request.headers.set("x-seen", [metadata.remote_addr, metadata.server_protocol, cf.tlsVersion, Azion.env.get("MODE"), Azion.env.get("x")].join());
              event.continue();
            })()));
            """)
        #expect(line(bench.run()) == "proceed unchanged")
        #expect(bench.exchange.request.text(of: "x-seen") == "192.0.2.7,HTTP/1.1,TLSv1.3,test,")
        #expect(line(try Bench("export default { firewall(request, env, ctx) { ctx.drop(); } }").run()) == "deny 444")
    }
}
