import Buffers
import HTTP
import Testing

@testable import HTTP2

/// Our reading of RFC 9113 section 8 beside nghttp2's: a session in which both look at a request must come to the same as one in
/// which we alone do.
@Suite struct MessagingTests {
    /// Numbers that follow from a seed.
    private struct Dice {
        var state: UInt64
        mutating func roll(_ sides: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % sides
        }
        mutating func pick<Element>(_ choices: [Element]) -> Element { choices[roll(choices.count)] }
        mutating func isOne(in sides: Int) -> Bool { roll(sides) == 0 }
    }

    private static let names = [
        "x", "accept", "user-agent", "x-sum", "te", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "host",
        "content-length", "cookie", "priority", "upgrade-insecure-requests", "Accept", "x Y", "x:y", "", "x\u{7f}", "caf\u{e9}", "x_y.z~", ":odd", ":status",
        ":path", ":method", ":scheme", ":authority", ":protocol", ":", "x\r", "\0", "sec-fetch-site", "expect", "date", "via", "hos", "host2",
    ]
    private static let values = [
        "", "1", "a b", " a", "a ", "\ta", "a\t", "a\tb", "a\rb", "a\nb", "a\0b", "\u{7f}", "caf\u{e9}", "trailers", "Trailers", "trailers, gzip", "chunked",
        "a.test", "A.test", "other.test", "/", "*", "GET", "CONNECT", "https", "websocket", "0", "5", "05", "+5", "5,5", "99999999999999999999",
        "0123456789abcdef", "0123456789abcde\u{1}", "0123456789abcdef\u{1f}", "u=1, i", "keep-alive", "a=1; b=2",
    ]
    private static let methods = ["GET", "POST", "CONNECT", "OPTIONS", "HEAD", "", "GE T", "connect", "PATCH", "x\u{e9}"]
    private static let paths = ["/", "*", "", "a", "/a?b", "/a b", "/a#b", "/\u{1}", "/caf\u{e9}", "https://a.test/"]

    private static func head(_ dice: inout Dice) -> [(String, String)] {
        var fields = [
            (":method", dice.isOne(in: 6) ? dice.pick(methods) : "POST"), (":scheme", dice.isOne(in: 20) ? dice.pick(["", "http", "ftp", "HTTPS"]) : "https"),
            (":authority", dice.isOne(in: 20) ? dice.pick(["", "a b", "u@a.test", "a.test:80", "a.test:x", "[::1]"]) : "a.test"),
            (":path", dice.isOne(in: 8) ? dice.pick(paths) : "/"),
        ]
        if dice.isOne(in: 10) { fields.append((":protocol", dice.pick(["websocket", "", "x", "a\u{1}"]))) }
        while dice.isOne(in: 12), !fields.isEmpty { fields.remove(at: dice.roll(fields.count)) }
        if dice.isOne(in: 16), !fields.isEmpty { fields.append(dice.pick(fields)) }
        if dice.isOne(in: 3) { fields.append(("content-length", "5")) }
        for _ in 0..<dice.roll(4) {
            let ordinary = !dice.isOne(in: 5)
            let name = ordinary ? dice.pick(["x", "accept", "cookie", "te", "date"]) : dice.pick(names)
            fields.append((name, ordinary ? name == "te" ? "trailers" : "1" : dice.pick(values)))
        }
        if dice.isOne(in: 16), fields.count > 1 { fields.swapAt(dice.roll(fields.count), dice.roll(fields.count)) }
        return fields
    }

    private static func frames(_ dice: inout Dice) -> [Frame] {
        let isWhole = dice.isOne(in: 4)
        var frames = [Frame.headers(1, head(&dice), end: isWhole)]
        guard !isWhole else { return frames }
        for _ in 0..<dice.roll(3) { frames.append(.data(1, pattern(dice.roll(5)), end: false)) }
        switch dice.roll(4) {
        case 0: frames.append(.data(1, [], end: true))
        case 1: frames.append(.data(1, pattern(1 + dice.roll(5)), end: true))
        case 2: frames.append(.headers(1, dice.isOne(in: 2) ? [("x-sum", "1")] : [(dice.pick(names), dice.pick(values))], end: !dice.isOne(in: 4)))
        default: break
        }
        return frames
    }

    /// What a request came to: what the gateway heard of it, and what the client did.
    private static func outcome(_ frames: [Frame], libraryChecks: Bool) -> String {
        let harness = Harness { $0.libraryChecks = libraryChecks }
        harness.send(raw: frames.flatMap(\.bytes))
        let written = harness.frames().filter { $0.type == Frame.Kind.reset || $0.type == Frame.Kind.goAway }.map { "\($0.type) \($0.code)" }
        let stream = harness.announced.first
        return "\(stream?.events ?? []), \(stream?.received.count ?? 0) bytes, clean \(stream?.endedCleanly ?? false), trailers \(stream?.trailerFields.count ?? 0), "
            + "\(written), glitches \(harness.session.counters.glitches)"
    }

    @Test(arguments: 1...8) func weRefuseWhatTheLibraryRefusesAndNothingElse(seed: Int) {
        var dice = Dice(state: UInt64(seed))
        var refused = 0
        for _ in 0..<400 {
            let frames = Self.frames(&dice)
            let ours = Self.outcome(frames, libraryChecks: false), both = Self.outcome(frames, libraryChecks: true)
            #expect(ours == both, "\(frames)")
            if both.contains("3 1") { refused += 1 }
            if ours != both { return }
        }
        #expect((80...320).contains(refused), "\(refused): neither all nor none")
    }
}
