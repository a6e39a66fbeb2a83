@testable import Supervisor
import Reactor
import Testing

@Suite struct RestartPolicyTests {
    @Test func fiveDeathsAMinuteAreForgivenThenTheWaitDoublesUpToItsBound() {
        var policy = RestartPolicy()
        let delays = (0..<14).map { policy.delayAfterDeath(now: UInt64($0) * 1000) }
        #expect(delays == [0, 0, 0, 0, 0, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000])
    }

    @Test func oldDeathsAreForgotten() {
        var policy = RestartPolicy()
        for _ in 0..<5 { #expect(policy.delayAfterDeath(now: 1000) == 0) }
        #expect(policy.delayAfterDeath(now: 60_999) == 500)
        #expect(policy.delayAfterDeath(now: 61_000) == 0)
    }

    @Test func hundredsOfDeathsDoNotOverflow() {
        var policy = RestartPolicy()
        for _ in 0..<500 { #expect(policy.delayAfterDeath(now: 5) <= RestartPolicy.longestDelay) }
    }
}

@Suite struct StrikeBookTests {
    private let one = [ConfigurationBundle.Function(name: "auth", fingerprint: 1)]

    @Test func theSecondStrikeFencesExactlyOnce() {
        var book = StrikeBook()
        _ = book.adopt(one)
        #expect(book.strike("auth").newlyFenced == false)
        #expect(book.fenced == [])
        #expect(book.strike("auth").newlyFenced == true)
        #expect(book.strike("auth").newlyFenced == false)
        #expect(book.fenced == ["auth"])
    }

    @Test func functionsAreJudgedOneByOne() {
        var book = StrikeBook()
        _ = book.strike("a")
        _ = book.strike("b")
        #expect(book.fenced == [])
    }

    @Test func anUnchangedFileKeepsTheFenceAndAChangedOneLiftsIt() {
        var book = StrikeBook()
        _ = book.adopt(one)
        _ = book.strike("auth")
        _ = book.strike("auth")
        #expect(book.adopt(one) == [])
        #expect(book.fenced == ["auth"])
        #expect(book.adopt([.init(name: "auth", fingerprint: 2)]) == ["auth"])
        #expect(book.fenced == [])
        #expect(book.strike("auth").newlyFenced == false)
    }

    @Test func aFunctionThatIsGoneLeavesNothingBehind() {
        var book = StrikeBook()
        _ = book.adopt(one)
        _ = book.strike("auth")
        _ = book.strike("auth")
        #expect(book.adopt([]) == ["auth"])
        #expect(book.entries.isEmpty)
    }

    @Test func aKillFromOutsideBlamesOnlyAHookThatRanForAWhile() {
        let short: UInt64 = 1_000_000
        let long: UInt64 = 200_000_000
        #expect(!StrikeBook.isStrike(end: .signalled(9), killedByUs: false, ranFor: short))
        #expect(StrikeBook.isStrike(end: .signalled(9), killedByUs: false, ranFor: long))
        #expect(StrikeBook.isStrike(end: .signalled(9), killedByUs: true, ranFor: short))
        #expect(StrikeBook.isStrike(end: .signalled(6), killedByUs: false, ranFor: short))
        #expect(StrikeBook.isStrike(end: .exited(133), killedByUs: false, ranFor: short))
        #expect(!StrikeBook.isStrike(end: .exited(0), killedByUs: false, ranFor: long))
    }
}

@Suite struct AdminRequestTests {
    private func parse(_ text: String) -> AdminRequest.Verdict {
        let bytes = Array(text.utf8)
        return AdminRequest.parse(bytes.span)
    }

    @Test func methodPathQueryAndTheFieldsThatCountAreRead() {
        #expect(
            parse("GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n")
                == .request(AdminRequest(path: "/metrics", query: "x=1", host: "a", accept: "*/*")))
        #expect(parse("HEAD / HTTP/1.0\r\n\r\n") == .request(AdminRequest(method: .head, path: "/")))
        let post = "POST /v1/reload HTTP/1.1\r\nHost: a \r\nAuthorization: bearer abc\r\nOrigin: http://b\r\n"
            + "Sec-Fetch-Site: cross-site\r\nContent-Length: 2\r\n\r\n{}"
        #expect(
            parse(post)
                == .request(AdminRequest(
                    method: .post, path: "/v1/reload", host: "a", token: "abc", origin: "http://b", fetchSite: "cross-site", body: "{}")))
    }

    @Test func aBodyIsWaitedForAndBounded() {
        #expect(parse("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{}") == .incomplete)
        #expect(
            parse("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n") == .refused(status: 413, reason: "Content Too Large"))
    }

    @Test func parametersAreDecoded() {
        let request = AdminRequest(path: "/", query: "role=read&name=a%20b+c&flag&bad=%4&sign=%+f")
        #expect(request.parameter("name") == "a b c")
        #expect(request.parameter("flag") == "")
        #expect(request.parameter("bad") == nil)
        #expect(request.parameter("sign") == nil)
        #expect(request.parameter("other") == nil)
    }

    @Test func everyPrefixOfARequestIsIncomplete() {
        let text = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
        for length in 0..<text.utf8.count { #expect(parse(String(text.utf8.prefix(length))!) == .incomplete) }
    }

    @Test(arguments: [
        "GET /x HTTP/1.1\r\n\r\n",  // no host
        "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /x HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET  /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n\u{fffd}",
        "GET /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /x\u{0} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\n",
    ])
    func malformedHeadsAreRefused(_ text: String) {
        #expect(parse(text) == .refused(status: 400, reason: "Bad Request"))
    }

    @Test func otherMethodsAndLongHeadsHaveTheirOwnStatus() {
        #expect(parse("DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n") == .refused(status: 405, reason: "Method Not Allowed"))
        let long = "GET /" + String(repeating: "a", count: 9000)
        #expect(parse(long) == .refused(status: 431, reason: "Request Header Fields Too Large"))
        #expect(parse(long + " HTTP/1.1\r\nHost: a\r\n\r\n") == .refused(status: 431, reason: "Request Header Fields Too Large"))
    }
}

@Suite struct EndpointTextTests {
    @Test func addressesAndPortsAreTakenApart() {
        #expect(EndpointText("127.0.0.1:80")?.address == "127.0.0.1")
        #expect(EndpointText("[::1]:9901")?.address == "::1")
        #expect(EndpointText("[::1]:9901")?.port == 9901)
        for bad in ["", "80", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "::1:80", "[]:80"] {
            #expect(EndpointText(bad) == nil, "\(bad)")
        }
    }
}

@Suite struct OperationLogTests {
    @Test func textForPeopleCannotDriveATerminal() {
        #expect(OperationLog.printable("a\u{1b}[31m\nb\u{9b}c\r") == "a\\u{1b}[31m\nb\\u{9b}c\\u{d}")
    }
}
