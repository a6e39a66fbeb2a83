import Gateway
import Testing

/// Who may have a live request explained.
@Suite struct TraceKeyTests {
    let key = TraceKey(Array("0123456789abcdef0123456789abcdef\n".utf8))

    @Test func `a signed value is good until it expires`() throws {
        let key = try #require(key)
        let value = key.sign(expires: 1_000)
        #expect(value.hasPrefix("1000-") && value.utf8.count == 5 + 64)
        #expect(key.accepts(value, now: 999) && !key.accepts(value, now: 1_000) && !key.accepts(value, now: 2_000))
    }

    /// HMAC-SHA-256 as computed by another program (`openssl dgst -sha256 -hmac`).
    @Test func `the code is the one that others compute`() throws {
        #expect(try #require(key).sign(expires: 1_000) == "1000-69511b4d7ffe53371d2d1d6cf397491e12c8d3f2531a701d49865eacb16518bf")
    }

    @Test func `a value that is changed, far off or of another key is refused`() throws {
        let key = try #require(key)
        let other = try #require(TraceKey(Array("0123456789abcdef0123456789abcdeg".utf8)))
        let far = TraceKey.longestLife + 1
        for value in [other.sign(expires: 50), key.sign(expires: far), key.sign(expires: 50) + "0", "50-", "-", "", key.sign(expires: 50).uppercased() + "x"] {
            #expect(!key.accepts(value, now: 0), "\(value)")
        }
    }

    @Test func `a header of one kind is none of the other`() throws {
        let key = try #require(key)
        let inspect = key.sign(expires: 50, TraceKey.inspectHeader)
        #expect(key.accepts(inspect, now: 0, TraceKey.inspectHeader) && !key.accepts(inspect, now: 0))
        #expect(!key.accepts(key.sign(expires: 50), now: 0, TraceKey.inspectHeader))
    }

    @Test func `short keys are refused`() { #expect(TraceKey(Array(repeating: 65, count: 31)) == nil) }
}
