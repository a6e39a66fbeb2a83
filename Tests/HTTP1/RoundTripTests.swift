import Buffers
import HTTP
import HTTP1
import Testing

/// What is written is read back as the same message: nothing can be smuggled through a head.
@Suite struct RoundTripTests {
    private func name(_ random: inout Seeded) -> String {
        let known = ["Accept", "COOKIE", "x-forwarded-for", "Via", "Set-Cookie", "Content-Type", "etag"]
        if Int.random(in: 0..<3, using: &random) == 0 { return known[Int.random(in: 0..<known.count, using: &random)] }
        let letters = Array("abcXYZ019!#$%&'*+-.^_`|~")
        return "x" + String((0..<Int.random(in: 0...20, using: &random)).map { _ in letters[Int.random(in: 0..<letters.count, using: &random)] })
    }

    private func value(_ random: inout Seeded) -> String {
        let count = Int.random(in: 0...60, using: &random)
        return String(String.UnicodeScalarView((0..<count).map { _ in
            var byte = UInt8.random(in: 32...255, using: &random)
            if byte == 127 { byte = 9 }
            return UnicodeScalar(byte)
        }))
    }

    private func blank(_ random: inout Seeded) -> String { ["", " ", "  ", "\t", " \t "][Int.random(in: 0..<5, using: &random)] }

    private func randomRequest(_ random: inout Seeded) -> String {
        let method = ["GET", "POST", "HEAD", "DELETE", "OPTIONS", "x-y!"][Int.random(in: 0..<6, using: &random)]
        let path = "/" + ["", "a", "a/b%20c", "~x;y", "|{}"][Int.random(in: 0..<5, using: &random)]
        let query = ["", "?", "?a=b", "?a?b/c"][Int.random(in: 0..<4, using: &random)]
        let host = ["a", "a.example:80", "[::1]:8080", "A_b-"][Int.random(in: 0..<4, using: &random)]
        let target = (Int.random(in: 0..<4, using: &random) == 0 ? "http://\(host)" : "") + path + query
        var fields = (0..<Int.random(in: 0...12, using: &random)).map { _ in
            "\(name(&random)):\(blank(&random))\(value(&random))\(blank(&random))"
        }
        fields.append(["Transfer-Encoding: chunked", "Content-Length: 12", "X: y", "Connection: close"][Int.random(in: 0..<4, using: &random)])
        fields.insert("Host:\(blank(&random))\(host)", at: Int.random(in: 0...fields.count, using: &random))
        return "\(method) \(target) HTTP/1.1\r\n" + fields.joined(separator: "\r\n") + "\r\n\r\n"
    }

    private func write(_ bytes: [UInt8], _ pool: SlabPool) -> [UInt8]? {
        var parser = RequestParser()
        var head = Head()
        guard case .complete = parser.parse(bytes.span, into: &head) else { return nil }
        var output = OutputBuffer(pool: pool)
        RequestWriter.write(head, to: &output)
        return written(&output)
    }

    @Test func requestsAreReadBackAsTheyWereMeant() throws {
        var random = Seeded(state: 2024)
        let pool = SlabPool()
        for _ in 0..<3000 {
            let text = randomRequest(&random)
            let bytes = text.latin1
            let first = try #require(parseRequest(bytes), "\(text)")
            #expect(first.failure == nil, "\(text)")
            let out = try #require(write(bytes, pool))
            let second = try #require(parseRequest(out))
            let framing: Set = ["host", "contentLength", "transferEncoding", "connection"]
            #expect(second.line == first.line)
            #expect(second.body == first.body)
            #expect(second.consumed == out.count)
            #expect(second.fields.filter { !framing.contains($0[2]) } == first.fields.filter { !framing.contains($0[2]) })
            // Writing what was read back changes nothing any more.
            #expect(write(out, pool) == out)
        }
    }

    /// Damaged heads: accepted or refused, but the same whole and in pieces, and what is accepted is written in a form
    /// that is read back.
    @Test func damagedHeadsHaveOneReadingOrNone() throws {
        var random = Seeded(state: 99)
        let pool = SlabPool()
        let damage: [UInt8] = [0, 9, 10, 13, 32, 33, 44, 47, 58, 59, 91, 92, 127, 128, 255, 48, 65]
        var accepted = 0
        for _ in 0..<1000 {
            var bytes = randomRequest(&random).latin1
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let at = Int.random(in: 0..<bytes.count, using: &random)
                let byte = damage[Int.random(in: 0..<damage.count, using: &random)]
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[at] = byte
                case 1: bytes.insert(byte, at: at)
                default: bytes.remove(at: at)
                }
            }
            let whole = parseRequest(bytes)
            // A head that never ends may be refused for a line of it before a slow one is: at its end at the latest.
            let slow = parseRequest(bytes, cuts: Array(0..<bytes.count))
            let ended = bytes + "\r\n\r\n".latin1
            #expect(slow == whole || (slow == nil && parseRequest(ended, cuts: Array(0..<ended.count)) == whole), "\(bytes)")
            guard let whole, whole.failure == nil else { continue }
            accepted += 1
            let out = try #require(write(bytes, pool))
            #expect(parseRequest(out)?.body == whole.body)
            #expect(write(out, pool) == out)
        }
        #expect(accepted > 30)
    }

    @Test func byteSetsAreWhatTheGrammarSays() {
        for byte in UInt8.min...UInt8.max {
            let character = Character(UnicodeScalar(byte))
            let alphanumeric = byte < 128 && (character.isLetter || character.isNumber)
            #expect(ASCIISet.token.contains(byte) == (alphanumeric || "!#$%&'*+-.^_`|~".contains(character)))
            #expect(ASCIISet.unreserved.contains(byte) == (alphanumeric || "-._~".contains(character)))
            #expect(ASCIISet.hostName.contains(byte) == (alphanumeric || "-._~!$&'()*+;=".contains(character)))
            #expect(ASCIISet.target.contains(byte) == (byte > 32 && byte < 127 && !"#<>\\".contains(character)))
            #expect(hexValue(byte).map(Int.init) == (byte < 128 ? character.hexDigitValue : nil))
        }
    }
}
