import Buffers
import HTTP
import Testing

@Suite struct FieldNameTests {
    @Test func everyKnownNameIsFoundInAnyCase() {
        for name in FieldName.allCases where name != .other {
            let text = Span<UInt8>(name.text).text()
            for spelling in [text, text.lowercased(), text.uppercased()] {
                var arena = ByteArena()
                let range = arena.append(spelling)
                let found = FieldName(matching: arena[range])
                #expect(found == name, "\(spelling)")
            }
        }
    }

    /// Of letters, digits and `-` both ways in make the same, also of names that differ from a known one by a byte.
    @Test func plainNamesAreFoundAsAnyAre() {
        let plain = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-".utf8)
        for name in FieldName.allCases where name != .other {
            let text = Array(Span<UInt8>(name.text).text().utf8)
            for index in text.indices {
                for byte in plain {
                    var spelling = text
                    spelling[index] = byte
                    let found = [FieldName(matchingPlain: spelling.span), FieldName(matching: spelling.span)]
                    #expect(found[0] == found[1], "\(String(decoding: spelling, as: UTF8.self))")
                }
            }
        }
    }

    /// HTTP/2 writes names in lower case; one with capitals is not known there, and refused for them.
    @Test func inLowerCaseOnlyNamesInLowerCaseAreFound() {
        for name in FieldName.allCases where name != .other {
            let text = Span<UInt8>(name.text).text()
            let lower = Array(text.lowercased().utf8)
            let found = FieldName(matchingLower: lower.span)
            #expect(found == name, "\(text)")
            for index in lower.indices where lower[index] >= 97 && lower[index] <= 122 {
                var spelling = lower
                spelling[index] &-= 32
                let other = FieldName(matchingLower: spelling.span)
                #expect(other == .other, "\(String(decoding: spelling, as: UTF8.self))")
            }
        }
        for text in ["", "x", "hosts", "x-hook", "content-lengtj", "a-name-that-is-longer-than-any"] {
            let found = FieldName(matchingLower: Array(text.utf8).span)
            #expect(found == .other)
        }
    }

    /// `Head` has a bit for each.
    @Test func aWordHasABitForEveryName() { #expect(FieldName.allCases.allSatisfy { $0.rawValue < 64 }) }

    @Test func unknownNamesAreOther() {
        for text in ["", "x", "hosts", "x-hook", "content-lengtj", "a-name-that-is-longer-than-any"] {
            var arena = ByteArena()
            let range = arena.append(text)
            let found = FieldName(matching: arena[range])
            #expect(found == .other)
        }
    }

    @Test func everyMethodIsFoundAndCaseMatters() {
        for method in Method.allCases where method != .other {
            let found = Method(matching: Span(method.text))
            #expect(found == method)
        }
        let unknown = [Method(matching: Span("get")), Method(matching: Span("PURGE"))]
        #expect(unknown == [.other, .other])
    }
}

@Suite struct IPAddressTests {
    @Test(arguments: [
        ("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"),
        ("::", "::"), ("::1", "::1"), ("2001:db8::", "2001:db8::"), ("2001:DB8:0:0:1::1", "2001:db8::1:0:0:1"),
        ("::ffff:10.0.0.1", "10.0.0.1"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("fe80::1:0:0:2", "fe80::1:0:0:2"),
    ])
    func parsesAndPrints(text: String, expected: String) throws {
        #expect(try #require(IPAddress(text)).text == expected)
    }

    @Test(arguments: ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1:2", ":::", "1::2::3", "12345::", "g::", "1.2.3.4:80", "+1.2.3.4"])
    func refuses(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test func networks() throws {
        let ten = try #require(IPAddress("10.0.0.0"))
        #expect(try #require(IPAddress("10.255.0.1")).isIn(ten, prefixLength: 8))
        #expect(try !#require(IPAddress("11.0.0.1")).isIn(ten, prefixLength: 8))
        #expect(try #require(IPAddress("11.0.0.1")).isIn(ten, prefixLength: 0))
        let documentation = try #require(IPAddress("2001:db8::"))
        #expect(try #require(IPAddress("2001:db8:ffff::1")).isIn(documentation, prefixLength: 32))
        #expect(try !#require(IPAddress("2001:db9::1")).isIn(documentation, prefixLength: 32))
        #expect(try !#require(IPAddress("32.1.13.184")).isIn(documentation, prefixLength: 32))
    }
}
