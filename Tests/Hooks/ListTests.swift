import Buffers
import HTTP
import Testing

@testable import Hooks

@Suite struct ListTests {
    func list(_ networks: [(String, Int)]) throws -> HookList {
        HookList(networks: try networks.map { .init(address: try #require(IPAddress($0.0)), prefix: $0.1) })
    }

    @Test func `networks hold their addresses`() throws {
        let list = try list([("10.0.0.0", 8), ("192.168.1.7", 32), ("203.0.113.9", 24), ("2001:db8::", 32), ("fe80::1", 128), ("::", 0)])
        for text in ["10.1.2.3", "192.168.1.7", "203.0.113.200", "2001:db8:1::5", "fe80::1", "::ffff:10.0.0.1", "abcd::"] { #expect(list.contains(text), "\(text)") }
        for text in ["11.0.0.1", "192.168.1.8", "203.0.114.1", "", "10.0.0", "words", "10.0.0.1/32"] { #expect(!list.contains(text), "\(text)") }
        let everything = try self.list([("0.0.0.0", 0)])
        #expect(everything.contains("1.2.3.4") && !everything.contains("::1"))
        let texts = HookList(texts: ["DE", "fr"])
        #expect(texts.contains("DE") && !texts.contains("de"))
    }

    let guarding = """
        addEventListener("firewall", (event) => event.waitUntil(guard(event)));
        async function guard(event) {
          const ip = event.request.metadata["remote_addr"];
          if (Azion.networkList.contains(String(event.args.listId), ip)) event.deny();
          else { event.addRequestHeader("X-Checked", "1"); event.continue(); }
        }
        """

    @Test(arguments: [("198.51.100.0", true), ("192.0.2.0", false)])
    func `an Azion function asks its list, unchanged`(network: String, denied: Bool) throws {
        let networks = try list([(network, 24)])
        let bench = try Bench(guarding, arguments: "{\"listId\":42}", source: { $0.lists = ["42": networks] })
        bench.exchange.client.address = try #require(IPAddress("198.51.100.7"))
        guard let outcome = bench.run() else { Issue.record("pending"); return }
        if case .deny(status: 403) = outcome { #expect(denied) } else { #expect(!denied && bench.exchange.request.text(of: "x-checked") == "1") }
    }

    @Test func `a list that is not granted is an error, in a cordon too`() throws {
        let bench = try Bench(guarding, arguments: "{\"listId\":7}")
        guard case .failed(let failure)? = bench.run() else { Issue.record("it did not fail"); return }
        #expect(failure.message == "TypeError: the list 7 is not granted to this function")
        let networks = try list([("203.0.113.0", 24), ("2001:db8::", 32)])
        let pair = try RemotePair("""
            export default { onRequest() { return new Response(["203.0.113.9", "2001:db8::9", "203.0.114.9"].map((ip) => Azion.networkList.contains("l", ip)).join()); } };
            """, source: { $0.lists = ["l": networks] })
        try pair.start()
        guard case .respond(.bytes(let bytes))? = pair.call.outcomes.first else { Issue.record("\(pair.call.outcomes)"); return }
        #expect(String(decoding: bytes, as: UTF8.self) == "true,true,false")
    }

    @Test func `fields for the answer wait for it`() throws {
        let code = """
            addEventListener("firewall", (event) => {
              event.addResponseHeader("X-Checked", "yes");
              event.addResponseHeader("Set-Cookie", "a=b; Path=/");
              if (event.args.bad) event.addResponseHeader(...event.args.bad);
            });
            """
        let bench = try Bench(code)
        guard case .proceed? = bench.run() else { Issue.record("it did not go on"); return }
        #expect(String(decoding: bench.call.laterFields, as: UTF8.self) == "X-Checked\nyes\nSet-Cookie\na=b; Path=/\n")
        for bad in ["[\"content-length\",\"1\"]", "[\"a b\",\"1\"]", "[\"a\",\"b\\r\\nc: d\"]", "[\"a\",\"\\u0100\"]"] {
            let bench = try Bench(code, arguments: "{\"bad\":\(bad)}")
            guard case .failed? = bench.run() else { Issue.record("\(bad) was taken"); return }
        }
        let pair = try RemotePair(code)
        try pair.start()
        #expect(String(decoding: pair.call.laterFields, as: UTF8.self).hasPrefix("X-Checked\nyes\n"))
        for flat in ["a", "a\n", "a\nb", "content-length\n1\n", "a b\nc\n", "a\nb\u{1}\n"] {
            #expect(throws: WireError.self, "\(flat)") { _ = try LaterFields.checked(Array(flat.utf8)) }
        }
    }
}
