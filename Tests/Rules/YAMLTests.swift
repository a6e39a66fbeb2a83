import Rules
import Testing

/// The strict profile: what is refused, where, and how fast.
@Suite struct YAMLTests {
    func codes(_ text: String) -> [String] {
        load(text).diagnostics.map { "\($0.position.line):\($0.position.column) \($0.code.rawValue)" }
    }

    func codes(_ bytes: [UInt8]) -> [DiagnosticCode] {
        RuleFile.load("a.yaml", provider: FileBundle(files: ["a.yaml": bytes])).diagnostics.map(\.code)
    }

    @Test func `every repetition of a key is reported, block and flow`() {
        #expect(codes("sluice: 1\nx-a: {b: 1, b: 2}\nlimits: {streams: 5}\nlimits: {streams: 6}\n") == ["2:13 Y003", "4:1 Y003"])
    }

    @Test func `tabs, control characters, tags and second documents are refused`() {
        #expect(codes("sluice: 1\n\tx-a: 1\n") == ["2:1 Y004"])
        #expect(codes("sluice: 1\nx-a: \u{1}b\n") == ["2:6 Y004"])
        #expect(codes("sluice: !!int 1\n") == ["1:9 Y008"])
        #expect(codes("sluice: 1\nx-a: !mine b\n") == ["2:6 Y008"])
        #expect(codes("sluice: 1\n---\nsluice: 1\n").first?.hasSuffix("Y002") == true)
        #expect(codes("") == ["1:1 Y002"])
        #expect(codes("- 1\n") == ["1:1 R003"])
    }

    @Test func `what YAML resolvers guess stays the text its author wrote`() throws {
        let result = load("sluice: 1\nlists: {l: [no, on, 0777, 12:30, ~, null, 1.0]}\n")
        guard case .strings(let strings)? = result.configuration?.lists.first?.values else { throw Missing() }
        #expect(strings == ["no", "on", "0777", "12:30", "~", "null", "1.0"])
        #expect(codes("sluice: 1\nupstreams: {a: {servers: [\"http://a\"], tls: {verify: yes}}}\n") == ["2:54 V004"])
    }

    @Test func `aliases work, in moderation`() {
        let rules = """
            sluice: 1
            x-common: &common [{set_header: {A: b}}]
            sites:
              - {name: s, hosts: ["*"], request: [{name: a, do: *common}, {name: "*b", do: *common}]}
            """
        #expect(load(rules).configuration?.sites.first?.request.map(\.name) == ["a", "*b"])
        #expect(codes("sluice: 1\nx-a: *nobody\n") == ["2:6 Y009"])
        #expect(codes("sluice: 1\nx-a: &a [*a]\n") == ["2:10 Y009"])
        #expect(codes("sluice: 1\nx-b: &b k\nx-c: {*b : 1}\n").last?.hasSuffix("Y009") == true)
    }

    @Test func `an alias bomb is refused without being expanded, also as a key`() {
        var text = "sluice: 1\nx-0: &x0 [a,a,a,a,a,a,a,a,a,a]\n"
        for level in 1...60 { text += "x-\(level): &x\(level) [\(Array(repeating: "*x\(level - 1)", count: 10).joined(separator: ","))]\n" }
        text += "? [*x60, *x60]\n: v\n"
        let clock = ContinuousClock()
        let time = clock.measure { #expect(load(text).diagnostics.map(\.code).contains(.aliasLimit)) }
        #expect(time < .seconds(2))
    }

    @Test func `deep nesting is refused, flow and block`() {
        let flow = "sluice: 1\nx-a: " + String(repeating: "[", count: 40) + String(repeating: "]", count: 40)
        #expect(load(flow).diagnostics.map(\.code) == [.tooDeep])
        var block = "sluice: 1\nx-a:\n"
        for level in 1...40 { block += String(repeating: " ", count: level) + "a:\n" }
        #expect(load(block).diagnostics.map(\.code) == [.tooDeep])
        for opener in ["[", "{a: ", "- ", "? "] {
            let hostile = "sluice: 1\nx-a: \n  " + String(repeating: opener, count: 200_000)
            #expect(!load(hostile).diagnostics.isEmpty)
        }
    }

    @Test func `huge values and files are refused`() {
        #expect(codes("sluice: 1\nx-a: \"" + String(repeating: "a", count: 70_000) + "\"\n") == ["2:6 Y005"])
        #expect(codes(Array(repeating: UInt8(ascii: "#"), count: 9 << 20)) == [.fileUnreadable])
        #expect(codes(Array(("[" + String(repeating: "a,", count: 500_000) + "]").utf8)) == [.tooLarge])
    }

    @Test func `invalid UTF-8 is placed`() {
        let result = RuleFile.load("a.yaml", provider: FileBundle(files: ["a.yaml": Array("sluice: 1\nx-a: b".utf8) + [0xC3, 0x28, 0x0A]]))
        #expect(result.diagnostics.map { "\($0.position.line):\($0.position.column) \($0.code.rawValue)" } == ["2:7 Y001"])
        // A form feed and a line separator end no line.
        let feeds = RuleFile.load("a.yaml", provider: FileBundle(files: ["a.yaml": Array("a: \u{C}\u{2028}b\r\n".utf8) + [0xFF]]))
        #expect(feeds.diagnostics.map { "\($0.position.line):\($0.position.column)" } == ["2:1"])
    }

    @Test func `a megabyte made to hurt is refused after little work`() {
        func fill(_ head: String, _ piece: String, _ tail: String) -> String { head + String(repeating: piece, count: (1 << 20) / piece.utf8.count) + tail }
        // More aliases than may be: nobody looks at the first of them.
        #expect(codes(fill("sluice: 1\nx-a: &a [b]\nx-b: [", "*a,", "]\n")) == ["3:1 Y007"])
        // A key again and again is found once in a large file, every time in a small one.
        #expect(codes(fill("sluice: 1\n", "limits: 1234\n", "")) == ["3:1 Y003"])
        #expect(codes("sluice: 1\n" + String(repeating: "limits: {}\n", count: 9)).count == 8)
        #expect(codes(fill("sluice: 1\nx-a: \"", "a", "\"\n")) == ["2:6 Y005"])
        #expect(codes(fill("sluice: 1\nx-a: ", "[", "")) == ["1:1 Y005"])
        #expect(codes(fill("sluice: 1\nx-a:\n  ", "- ", "a\n")) == ["1:1 Y005"])
        // However many mistakes there are, so many are told.
        #expect(codes(fill("sluice: 1\nsites:\n- name: a\n  hosts: [\"*\"]\n  request:\n", "  - {when: client.pi in $x, do: [{a: b}]}\n", "")).count == 200)
    }

    @Test func `an expression that starts with a quote says to use a block`() {
        let text = load(site(request: "- when: \"GET\" == method\n  do: [stop]")).diagnostics.first
        #expect(text?.code == .yamlQuoting)
        #expect(text?.message == "an expression that starts with a quote must be written as a block scalar (`when: >`)")
        let flow = load(site(request: "- {when: cookie[\"sid\"] == \"1\", do: [stop]}")).diagnostics.first
        #expect(flow?.label == "write the dotted form, for example `header.x-name`")
    }

    @Test(arguments: [
        ("limits: {header_bytes: 64KiB}", 65_536), ("limits: {header_bytes: 1MB}", 1_000_000), ("limits: {header_bytes: 10B}", 10),
    ])
    func `sizes have units`(line: String, bytes: Int) {
        #expect(load("sluice: 1\n\(line)\n").configuration?.limits.headerBytes == bytes)
    }

    @Test(arguments: ["64", "64kb", "1.5MiB", "-1KiB", "99999999999999GiB", "0x10B", "064KiB"])
    func `anything else is not a size`(text: String) {
        #expect(codes("sluice: 1\nlimits: {header_bytes: \(text)}\n") == ["2:24 V002"])
    }

    @Test func `random bytes never trap the loader`() {
        var random = SplitMix(state: 11)
        let seed = Array(site(request: "- {name: a, when: 'path == \"/\"', do: [{set_header: {A: \"${path}\"}}]}").utf8)
        let noise = Array("{}[]:,-&*!|>'\"%@`#?$ \n\tab1/.\u{80}".utf8)
        for _ in 0..<2_000 {
            var bytes = seed
            for _ in 0...Int(random.next() % 6) {
                let at = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 3 {
                case 0: bytes[at] = noise[Int(random.next() % UInt64(noise.count))]
                case 1: bytes.remove(at: at)
                default: bytes.insert(noise[Int(random.next() % UInt64(noise.count))], at: at)
                }
            }
            let result = RuleFile.load("a.yaml", provider: FileBundle(files: ["a.yaml": bytes]))
            #expect((result.configuration == nil) == (result.diagnostics.errorCount > 0))
            _ = result.diagnostics.text
        }
    }
}

struct Missing: Error {}

/// A seed that reproduces.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
    mutating func pick<Element>(_ elements: [Element]) -> Element { elements[Int(next() % UInt64(elements.count))] }
}
