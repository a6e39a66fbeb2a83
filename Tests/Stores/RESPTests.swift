import KeyValue
import Testing

@testable import Stores

@Suite struct RESPTests {
    func read(_ text: String, piece: Int = .max) throws -> [RESPValue] {
        var reader = RESPReader(), values: [RESPValue] = []
        let bytes = Array(text.utf8)
        var at = 0
        while at < bytes.count {
            let end = piece == .max ? bytes.count : min(at + piece, bytes.count)
            reader.append(bytes[at..<end].span)
            at = end
            while let value = try reader.next() { values.append(value) }
        }
        #expect(reader.unread == 0)
        return values
    }

    @Test(arguments: [Int.max, 1, 2, 3, 7])
    func `values come out whole, however the bytes arrive`(piece: Int) throws {
        let text = "+OK\r\n-ERR no\r\n:-42\r\n$5\r\na\r\nbc\r\n$-1\r\n$0\r\n\r\n*2\r\n$1\r\nx\r\n*1\r\n:1\r\n*-1\r\n*0\r\n"
        #expect(try read(text, piece: piece) == [
            .text("OK"), .error("ERR no"), .number(-42), .bytes(Array("a\r\nbc".utf8)), .bytes(nil), .bytes([]),
            .list([.bytes([120]), .list([.number(1)])]), .list(nil), .list([]),
        ])
    }

    @Test(arguments: [
        "?what\r\n", "$abc\r\n", ":1\n", "$99999999999\r\n", "$-2\r\n", "$2\r\nabc\r\n", "*99999999\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "\r\n", "\n",
        "+" + String(repeating: "x", count: 70_000),
    ])
    func `what no Redis sends ends the connection`(text: String) {
        #expect(throws: RESPError.self) { _ = try read(text) }
    }

    @Test func `commands are lists of byte strings`() {
        var bytes: [UInt8] = []
        RESPCommand("SET", Array("k\r\n".utf8), []).append(to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == "*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n")
    }

    @Test func `a greeting has what is needed and no more`() {
        var settings = RedisSettings(host: "r")
        #expect(settings.greeting == [])
        settings.password = "p"
        settings.database = 2
        #expect(settings.greeting == [RESPCommand("AUTH", [112]), RESPCommand("SELECT", [50])])
        settings.user = "u"
        #expect(settings.greeting.first == RESPCommand("AUTH", [117], [112]))
        #expect(settings.name == "r:6379" && !settings.name.contains("p@"))
    }

    /// What a Redis that went mad may send: no input traps, and how its bytes arrive changes nothing.
    @Test func `mutated answers never trap and read the same in pieces`() {
        var state: UInt64 = 7
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state ^ state >> 29) % UInt64(bound))
        }
        func outcome(_ bytes: [UInt8], piece: Int) -> (values: [RESPValue], failed: Bool) {
            var reader = RESPReader(), values: [RESPValue] = []
            do throws(RESPError) {
                for start in stride(from: 0, to: bytes.count, by: piece) {
                    reader.append(bytes[start..<min(start + piece, bytes.count)].span)
                    while let value = try reader.next() { values.append(value) }
                }
                return (values, false)
            } catch {
                return (values, true)
            }
        }
        let seed = Array("*3\r\n$5\r\nab\r\nc\r\n*2\r\n:12\r\n$-1\r\n+OK\r\n-ERR x\r\n$10\r\n0123456789\r\n*-1\r\n".utf8)
        for _ in 0..<5_000 {
            var bytes = seed
            for _ in 0...random(3) { bytes[random(bytes.count)] = Array("\r\n$*:+-0123456789x".utf8)[random(18)] }
            if random(3) == 0 { bytes.removeLast(random(bytes.count)) }
            guard !bytes.isEmpty else { continue }
            let whole = outcome(bytes, piece: bytes.count), pieces = outcome(bytes, piece: 1 + random(5))
            #expect(whole.values == pieces.values && whole.failed == pieces.failed, "\(String(decoding: bytes, as: UTF8.self).debugDescription)")
        }
    }
}
