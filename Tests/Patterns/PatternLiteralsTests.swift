import Patterns
import Testing

@Suite struct PatternLiteralsTests {
    @Test(arguments: [
        ("^/p/(?<id>[0-9]+)/edit$", "/p/", "/edit"), ("abc", "", "abc"), ("^abc$", "abc", "abc"), ("a|b", "", ""),
        ("^/a(b|c)d", "/a", "/a"), ("^ab*c", "a", "a"), ("^ab+cde", "ab", "cde"), ("^ab?", "a", "a"), ("^ab{0,2}xyz", "a", "xyz"),
        ("a{x", "", ""), ("(?i)abc", "", ""), ("^(?i)abc", "", ""), ("\\.css$", "", ".css"), ("^\\d+/x", "", "/x"), ("\\x41bc", "", ""),
        ("[]|]abc", "", "abc"), ("[^]|(]abc", "", "abc"), ("[[:alpha:]]xyz", "", "xyz"), ("(a[)]|b)cd", "", "cd"), ("\\Qa|b\\E", "", ""),
        ("^", "", ""), ("", "", ""), ("a.bcd.e", "", "bcd"), ("\\A/x", "/x", "/x"), ("^a\\|b", "a|b", "a|b"), ("(?:ab)?cd", "", "cd"),
        ("^/\\p{Greek}a", "", ""), ("a+?bc", "", "bc"),
    ])
    func `what a match must have is read from the pattern`(pattern: String, prefix: String, required: String) {
        let literals = PatternLiterals(of: pattern)
        #expect(String(decoding: literals.prefix, as: UTF8.self) == prefix)
        #expect(String(decoding: literals.required, as: UTF8.self) == required)
    }

    @Test func `no text with a match lacks them`() {
        var state: UInt64 = 9
        func below(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % limit
        }
        let pieces = ["a", "b", "/", "^", "$", "\\.", "\\/", ".", "*", "+", "?", "{2}", "{1,}", "[ab]", "[^a]", "(a|b)", "(?:ab)", "(?<n>b)", "|", "\\d", "\\b"]
        var compared = 0
        for _ in 0..<20_000 {
            let text = (0..<1 + below(6)).map { _ in pieces[below(pieces.count)] }.joined()
            guard let pattern = try? Pattern(text) else { continue }
            let literals = PatternLiterals(of: text)
            guard !literals.prefix.isEmpty || !literals.required.isEmpty else { continue }
            for _ in 0..<6 {
                let subject = (0..<below(7)).map { _ in Array("ab/.1".utf8)[below(5)] }
                guard pattern.matches(subject.span) else { continue }
                compared += 1
                let shown = String(decoding: subject, as: UTF8.self)
                #expect(subject.starts(with: literals.prefix), "\(text) in \(shown)")
                let required = String(decoding: literals.required, as: UTF8.self)
                #expect(required.isEmpty || shown.contains(required), "\(text) in \(shown)")
            }
        }
        #expect(compared > 1_000)
    }
}
