import Buffers
import HTTP
import HTTP1
import Testing

/// The canonical path, nil when it is refused.
func normalized(_ path: String, _ policy: PathPolicy = PathPolicy()) -> String? {
    var head = Head()
    head.path = head.arena.append(path)
    switch PathNormalizer.check(head.bytes(head.path), policy: policy) {
    case .clean: return path
    case .refused: return nil
    case .needsWork:
        guard PathNormalizer.normalize(&head, policy: policy) else { return nil }
        return head.text(head.path)
    }
}

@Suite struct PathNormalizerTests {
    @Test(arguments: [
        "/", "/a", "/a/b/", "//a", "/a//b", "/a.b", "/.a", "/..a", "/a..", "/...", "/a/...", "/a;x=1", "/;", "/%20", "/a%3Fb", "/%C3%A9",
        "/a/.b./c", "/~a", "/a=b&c", "*", "/.%20", "/..%20", "/%252e", "/a:b@c!$&'()*+,",
    ])
    func cleanPathsStayAndAreRecognisedAtOnce(path: String) {
        var head = Head()
        head.path = head.arena.append(path)
        let verdict = PathNormalizer.check(head.bytes(head.path))
        #expect(verdict == .clean)
        #expect(normalized(path) == path)
    }

    @Test(arguments: [
        ("/.", "/"), ("/./", "/"), ("/a/.", "/a/"), ("/a/./b", "/a/b"), ("/a/..", "/"), ("/a/../", "/"), ("/a/../b", "/b"), ("/a/b/../..", "/"),
        ("/a/b/../c", "/a/c"), ("/a/./../b/./", "/b/"), ("/%2e", "/"), ("/%2E/a", "/a"), ("/a/%2e%2e/b", "/b"), ("/a/.%2e/b", "/b"),
        ("/a/%2e./b", "/b"), ("/%61", "/a"), ("/%41%5a%30%7e%2d%5f", "/AZ0~-_"), ("/%3f", "/%3F"), ("/%c3%a9", "/%C3%A9"), ("/a//../b", "/a/b"),
        ("//..", "/"), ("/a/%2e%2e", "/"), ("/%2e%2e%2e", "/..."), ("/a%2eb", "/a.b"), ("/a/...%2e/b", "/a/..../b"), ("/a/b/..", "/a/"),
    ])
    func dotSegmentsAndNeedlessEncodingsGo(path: String, expected: String) {
        #expect(normalized(path) == expected)
    }

    @Test(arguments: [
        "/%00", "/a%00b", "/a\\b", "/%2f", "/%2F..%2F", "/a%5cb", "/a%5C", "/%", "/%2", "/%zz", "/%2x", "/a%", "/%%", "/%u002e", "/..;/a", "/a/..;x=1/b",
        "/a/.;/b", "/a/..;", "/a/%2e%2e;/b", "/a/..%3b/b", "/a/.%2e%3B", "/..", "/../", "/../a", "/a/../../b", "/%2e%2e/a", "/.%2e/.%2e/etc/passwd",
        "/a/./../..", "/./..",
    ])
    func pathsThatOriginsReadDifferentlyAreRefused(path: String) {
        #expect(normalized(path) == nil)
    }

    @Test func encodedSlashesMayBeKept() {
        let policy = PathPolicy(keepsEncodedSlashes: true)
        #expect(normalized("/@scope%2fname", policy) == "/@scope%2Fname")
        #expect(normalized("/a%5cb", policy) == "/a%5Cb")
        #expect(normalized("/a%2F..b", policy) == "/a%2F..b")
        for hidden in ["/a%2F..%2Fb", "/a/..%2Fb", "/a%2f../b", "/a%2F..", "/a%5c..%5cb", "/a%2F%2e%2E/b", "/a%2F.%2Fb", "/..%5c"] {
            #expect(normalized(hidden, policy) == nil, "\(hidden)")
        }
        #expect(normalized("/%00", policy) == nil)
    }

    @Test(arguments: [("//", "/"), ("//a", "/a"), ("/a//", "/a/"), ("/a///b//c", "/a/b/c"), ("/a//../b", "/b"), ("/a/.//b", "/a/b"), ("/a/b", "/a/b")])
    func slashesMayBeMerged(path: String, expected: String) {
        #expect(normalized(path, PathPolicy(mergesSlashes: true)) == expected)
    }

    @Test func whatIsNormalisedIsCleanAndHasNoDotSegments() {
        var random = Seeded(state: 7)
        let parts = ["/", ".", "..", "a", "%2e", "%2E", "%61", "b;c", "//", "%3f", "...", "/../", "/./", "%25", ";", "%7E"]
        for _ in 0..<20_000 {
            let path = "/" + (0..<Int.random(in: 0...8, using: &random)).map { _ in parts[Int.random(in: 0..<parts.count, using: &random)] }.joined()
            for policy in [PathPolicy(), PathPolicy(mergesSlashes: true)] {
                guard let once = normalized(path, policy) else { continue }
                #expect(normalized(once, policy) == once, "\(path)")
                #expect(once.hasPrefix("/"))
                let segments = once.split(separator: "/", omittingEmptySubsequences: false)
                #expect(!segments.contains(".") && !segments.contains(".."), "\(path) became \(once)")
            }
        }
    }
}
