import Foundation
import Patterns
import Testing

@Suite struct PatternTests {
    func matches(_ pattern: String, _ bytes: [UInt8]) throws -> Bool {
        try Pattern(pattern).matches(bytes.span)
    }

    func find(_ pattern: String, _ text: String, ignoringCase: Bool = false) throws -> [String?]? {
        let bytes = Array(text.utf8)
        var captures: [Capture] = []
        guard try Pattern(pattern, ignoringCase: ignoringCase).firstMatch(in: bytes.span, captures: &captures)
        else { return nil }
        return captures.map { $0.isSet ? String(decoding: bytes[$0.start..<$0.end], as: UTF8.self) : nil }
    }

    @Test func `anchors are not implied and groups are found`() throws {
        #expect(try find("[0-9]+", "a12b") == ["12"])
        #expect(try find("^[0-9]+$", "a12b") == nil)
        #expect(try find("^/p/(?<id>[0-9]+)$", "/p/42") == ["/p/42", "42"])
        #expect(try find("(a)|(b)", "b") == ["b", nil, "b"])
        #expect(try find("^$", "") == [""])
        #expect(try find("SHOP", "my shop", ignoringCase: true) == ["shop"])
        #expect(try Pattern("^/p/(?<id>[0-9]+)/(x)/(?P<page>.)$").groupNames == ["id", "", "page"])
    }

    @Test func `escapes and classes are not taken for named groups`() throws {
        #expect(try Pattern(#"\(?<id>"#).groupNames.isEmpty)
        #expect(try Pattern("[(?<id>]").groupNames.isEmpty)
        #expect(try Pattern(#"\Q(?<id>\E(?<real>x)"#).groupNames == ["real"])
        #expect(try Pattern("[]](?<real>x)").groupNames == ["real"])
        #expect(try Pattern("[[:digit:]a[:space:]](?<real>x)").groupNames == ["real"])
        #expect(try find("[[:digit:](?<n>]", "P") == nil, "nothing is put into a class")
    }

    @Test(arguments: [
        ("(", "missing ): ("), ("a**", "bad repetition operator: **"), ("[z-a]", "invalid character class range: z-a"),
        ("(?=a)", "look-around `(?=` is not available: patterns run in linear time"),
        ("(?<!a)b", "look-around `(?<` is not available: patterns run in linear time"),
        (#"(a)\1"#, "back-references are not available: patterns run in linear time"),
        ("a{1001}", "invalid repetition size: {1001}"),
    ])
    func `a bad pattern says why`(pattern: String, message: String) {
        let error = #expect(throws: PatternError.self) { try Pattern(pattern) }
        #expect(error?.message == message)
    }

    @Test func `patterns that are too large are refused`() {
        #expect(throws: PatternError.self) { try Pattern("((a{100}){100}){100}") }
        #expect(throws: PatternError.self) { try Pattern(String(repeating: "a", count: 5000)) }
        #expect(throws: PatternError.self) { try Pattern(String(repeating: "(a)", count: 33)) }
    }

    @Test func `time is linear where backtracking is exponential`() throws {
        let text = String(repeating: "a", count: 60_000) + "b"
        #expect(try !matches("^(a+)+(a+)+(a|aa)+$", Array(text.utf8)))
    }

    @Test func `every byte is a character, also bytes that are not UTF-8`() throws {
        #expect(try matches("^/...$", [0x2f, 0xff, 0x00, 0xc3]))
    }

    /// Differential test: RE2 and ICU must agree on a grammar where both mean the same.
    @Test func `random patterns agree with another engine`() throws {
        var random = SplitMix(state: 7)
        for _ in 0..<3000 {
            let source = random.pattern(depth: 3)
            let text = String((0..<Int(random.next() % 9)).map { _ in random.pick("abc") })
            let expected = try NSRegularExpression(pattern: source)
                .firstMatch(in: text, range: NSRange(text.startIndex..., in: text)) != nil
            #expect(try matches(source, Array(text.utf8)) == expected, "\(source) on \(text)")
        }
    }
}

struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
    mutating func pick(_ text: String) -> Character { text.randomElement(using: &self) ?? "a" }
    mutating func pattern(depth: Int) -> String {
        switch depth == 0 ? 0 : next() % 7 {
        case 1: "\(pattern(depth: depth - 1))\(pattern(depth: depth - 1))"
        case 2: "(?:\(pattern(depth: depth - 1))|\(pattern(depth: depth - 1)))"
        case 3: "(?:\(pattern(depth: depth - 1)))\(["*", "+", "?", "{1,2}"][Int(next() % 4)])"
        case 4: "[\(pick("ab"))\(pick("bc"))]"
        case 5: "^\(pattern(depth: depth - 1))"
        case 6: "\(pattern(depth: depth - 1))$"
        default: String(pick("abc."))
        }
    }
}
