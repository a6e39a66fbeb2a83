import Buffers
import Testing

/// The questions that are answered eight bytes at a time, against loops over single bytes.
@Suite struct WordTests {
    /// Every byte at every place of texts of several lengths, all other bytes being `filler`.
    private func disagreements(
        filler: UInt8, _ answer: (borrowing Span<UInt8>, Int) -> Int, stops: (UInt8) -> Bool
    ) -> [String] {
        var wrong: [String] = []
        for count in [0, 1, 7, 8, 9, 15, 16, 17, 23, 33] {
            for place in 0...count {
                for byte in UInt8.min...UInt8.max {
                    var bytes = [UInt8](repeating: filler, count: count)
                    if place < count { bytes[place] = byte }
                    let expected = place < count && stops(byte) ? place : count
                    if answer(bytes.span, 0) != expected { wrong.append("\(byte) at \(place) of \(count)") }
                    if count > 3, answer(bytes.span, 3) != (expected < 3 ? count : expected) {
                        wrong.append("\(byte) at \(place) of \(count) from 3")
                    }
                }
            }
        }
        return wrong
    }

    private func isAlphanumeric(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
    }

    @Test func controlBytesAreFound() {
        for filler: UInt8 in [0x20, 0x41, 0x7e, 0x80, 0xff] {
            #expect(disagreements(filler: filler, { $0.firstControl(from: $1) }) { $0 < 32 || $0 == 127 }.isEmpty)
        }
    }

    @Test func namesEnd() {
        for filler in "aZ09-".utf8 {
            #expect(disagreements(filler: filler, { $0.endOfName(from: $1) }) { !isAlphanumeric($0) && $0 != 45 }.isEmpty)
        }
    }

    @Test func targetsEnd() {
        for filler in "/~!=;?".utf8 {
            let stops = { (byte: UInt8) in byte <= 32 || byte >= 127 || "#<>\\".utf8.contains(byte) }
            #expect(disagreements(filler: filler, { $0.endOfTarget(from: $1) }, stops: stops).isEmpty)
        }
    }

    /// The form of `usualLine`, one byte after the other.
    private func plainLine(_ bytes: [UInt8]) -> [Int]? {
        guard let colon = bytes.firstIndex(where: { !isAlphanumeric($0) && $0 != 45 }), colon > 0, bytes[colon] == 58 else { return nil }
        guard let end = bytes.indices.dropFirst(colon + 1).first(where: { bytes[$0] < 32 || bytes[$0] == 127 }) else { return nil }
        guard end + 1 < bytes.count, bytes[end] == 13, bytes[end + 1] == 10, end > colon + 2, bytes[colon + 1] == 32 else { return nil }
        return bytes[colon + 2] == 32 || bytes[end - 1] == 32 ? nil : [colon, colon + 2, end]
    }

    @Test func aUsualLineIsFoundWhereItIsOne() {
        var random = SystemRandomNumberGenerator()
        let alphabet = Array("aZ0-_:  \tx\r\n\u{7f}".utf8) + [0x80, 0]
        var usual = 0
        for _ in 0..<20_000 {
            var line = Array("Accept-Encoding: gzip, deflate\r\nHost: x".utf8)
            line.removeSubrange(1..<Int.random(in: 1...16, using: &random))
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                line[Int.random(in: line.indices, using: &random)] = alphabet[Int.random(in: alphabet.indices, using: &random)]
            }
            line.removeLast(Int.random(in: 0...min(8, line.count), using: &random))
            let found = line.span.usualLine(from: 0).map { [$0.colon, $0.value, $0.end] }
            #expect(found == plainLine(line), "\(line)")
            let behind = Array("\r\n".utf8) + line
            let later = behind.span.usualLine(from: 2).map { [$0.colon - 2, $0.value - 2, $0.end - 2] }
            #expect(later == found, "\(line) behind another")
            usual += found == nil ? 0 : 1
        }
        #expect(usual > 1000)
        let none = [UInt8]().span.usualLine(from: 0) == nil
        #expect(none)
    }

    @Test func ofAPlainNameBothKeysAreTheSame() {
        for text in ["te", "Te", "AGE", "Host", "4ost", "c0okie", "upgradeS", "HTTP2-Settings", "aaaaaaaaBaaaaaaaa", "Proxy-AuthorizatioN"] {
            let bytes = Array(text.utf8)
            #expect(bytes.span.nameKey == bytes.span.caselessKey, "\(text)")
        }
    }

    @Test func equalKeysMeanEqualTextsWithoutCase() {
        let texts = ["te", "TE", "tf", "age", "Host", "hose", "cookie", "Cookie", "upgrades", "Upgrades", "x-real-ip", "x-real-iq",
            "aaaaaaaaa", "aaaaaaaaaa", "aaaaaaaabaaaaaaa", "aaaaaaaabaaaaaaaa", "proxy-authorization", "Proxy-AuthorizatioN",
            "proxy-authorizatiom", "aaaaaaaaBaaaaaaaaaa", "aaaaaaaabaaaaaaaaaa", "aaaaaaaacaaaaaaaaaa", "a\0", "\0a", "a@", "a`"]
        for left in texts.map({ Array($0.utf8) }) {
            for right in texts.map({ Array($0.utf8) }) {
                let same = left.span.caselessKey == right.span.caselessKey
                #expect(same == left.span.equalsIgnoringCase(right.span), "\(left) and \(right)")
                let exact = left.span.exactKey == right.span.exactKey
                #expect(exact == (left == right) && left.span.equals(right.span) == exact, "\(left) and \(right)")
                let isLower = left.span.exactKey == right.span.caselessKey
                #expect(isLower == (left == right.map { Buffers.lowercased($0) }), "\(left) and \(right)")
            }
        }
    }

    @Test func textsAreEqualWhereNoByteDiffers() {
        for count in 0...40 {
            let text = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            let same = text.span.equals(Array(text).span), longer = text.span.equals((text + [0]).span)
            #expect(same && !longer, "\(count)")
            for index in text.indices {
                var other = text
                other[index] ^= 0x80
                let equal = text.span.equals(other.span)
                #expect(!equal, "\(count) bytes, \(index)")
            }
        }
    }

    @Test func caseIsIgnoredForASCIILettersOnly() {
        for count in [1, 8, 11] {
            for left in UInt8.min...UInt8.max {
                for right in UInt8.min...UInt8.max {
                    var (a, b) = ([UInt8](repeating: 0x41, count: count), [UInt8](repeating: 0x61, count: count))
                    a[count / 2] = left
                    b[count / 2] = right
                    let equal = a.span.equalsIgnoringCase(b.span)
                    let expected = left == right || (isAlphanumeric(left) && left > 57 && left ^ right == 32)
                    if equal != expected { Issue.record("\(left) and \(right)") }
                }
            }
        }
    }
}
