import Buffers
import HTTP
import Testing

/// Reading and writing the PROXY protocol.
@Suite struct ProxyHeaderTests {
    private func parse(_ text: String) -> ProxyHeader.Result { ProxyHeader.parse(Array(text.utf8).span) }

    private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

    private func addresses(_ source: String, _ destination: String) throws -> ProxyHeader.Addresses {
        ProxyHeader.Addresses(source: try address(source), sourcePort: 56_324, destination: try address(destination), destinationPort: 443)
    }

    private func written(_ version: ProxyHeader.Version, _ addresses: ProxyHeader.Addresses?) -> [UInt8] {
        var output = OutputBuffer(pool: SlabPool())
        ProxyHeader.write(version, addresses, to: &output)
        var bytes: [UInt8] = []
        while let slice = output.popFirst() { bytes += slice.bytes.array() }
        return bytes
    }

    @Test func theTextFormNamesBothEnds() throws {
        let line = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
        #expect(parse(line + "GET / HTTP/1.1\r\n") == .complete(consumed: line.utf8.count, addresses: try addresses("192.0.2.1", "198.51.100.2")))
        #expect(parse("PROXY UNKNOWN ffff::1 whatever\r\n") == .complete(consumed: 32, addresses: nil))
    }

    @Test(arguments: [
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 65536\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n",
        "PROXY TCP4 2001:db8::1 198.51.100.2 1 2\r\n", "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "PROXY\r\n", "PROXX TCP4", "GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n",
        "PROXY UNKNOWN " + String(repeating: "a", count: 200),
    ])
    func malformedTextIsRefused(_ text: String) { #expect(parse(text) == .failed) }

    @Test(arguments: [ProxyHeader.Version.v1, .v2], [["192.0.2.1", "198.51.100.2"], ["2001:db8::1", "2001:db8::2"]])
    func whatIsWrittenIsReadAndEveryBeginningOfItNeedsMore(_ version: ProxyHeader.Version, _ ends: [String]) throws {
        let told = try addresses(ends[0], ends[1])
        let bytes = written(version, told)
        #expect(ProxyHeader.parse(bytes.span) == .complete(consumed: bytes.count, addresses: told))
        #expect(ProxyHeader.parse((bytes + [1, 2, 3]).span) == .complete(consumed: bytes.count, addresses: told))
        for length in 0..<bytes.count {
            let part = Array(bytes[..<length])
            #expect(ProxyHeader.parse(part.span) == .needMore, "\(length) bytes")
        }
    }

    /// An IPv4 end beside an IPv6 one: mapped, as RFC 4291 section 2.5.5.2 writes it.
    @Test(arguments: [["2001:db8::1", "198.51.100.2"], ["192.0.2.1", "2001:db8::2"]]) func endsOfTwoFamiliesAreBothTold(_ ends: [String]) throws {
        let told = try addresses(ends[0], ends[1])
        for version in [ProxyHeader.Version.v1, .v2] {
            let bytes = written(version, told)
            #expect(ProxyHeader.parse(bytes.span) == .complete(consumed: bytes.count, addresses: told))
        }
        #expect(written(.v1, try addresses("2001:db8::1", "198.51.100.2")) == Array("PROXY TCP6 2001:db8::1 ::ffff:198.51.100.2 56324 443\r\n".utf8))
    }

    @Test func withoutAddressesTheGatewaySpeaksForItself() {
        #expect(ProxyHeader.parse(written(.v1, nil).span) == .complete(consumed: 15, addresses: nil))
        #expect(ProxyHeader.parse(written(.v2, nil).span) == .complete(consumed: 16, addresses: nil))
    }

    @Test func theBinaryFormIsHeldToItsLengths() {
        let good = written(.v2, ProxyHeader.Addresses(source: .unspecified, sourcePort: 1, destination: .unspecified, destinationPort: 2))
        var version = good
        version[12] = 0x11
        #expect(ProxyHeader.parse(version.span) == .failed)
        var short = good
        short[15] = 11
        #expect(ProxyHeader.parse(short.span) == .failed)
        var long = good
        long[14] = 0xff
        #expect(ProxyHeader.parse(long.span) == .failed, "more than is ever read")
        var command = good
        command[12] = 0x22
        #expect(ProxyHeader.parse(command.span) == .failed)
        var udp = good
        udp[13] = 0x12
        #expect(ProxyHeader.parse(udp.span) == .complete(consumed: 28, addresses: nil), "no TCP: nobody is named")
        let extended = Array(good[..<14]) + [0, 16] + Array(good[16...]) + [4, 0, 1, 0]
        #expect(ProxyHeader.parse(extended.span) == .complete(consumed: 32, addresses: .init(source: .unspecified, sourcePort: 1, destination: .unspecified, destinationPort: 2)))
    }

    /// The addresses of the other tests, a checksum, and a byte of padding. The sum was computed elsewhere.
    private func summed(_ change: (inout [UInt8]) -> Void = { _ in }) throws -> [UInt8] {
        var bytes = written(.v2, try addresses("192.0.2.1", "198.51.100.2"))
        bytes[15] += 11
        bytes += [3, 0, 4] + [0xa, 0xc1, 0x5c, 0xc8] + [4, 0, 1, 0]
        change(&bytes)
        return bytes
    }

    @Test func aChecksumThatIsRightIsTaken() throws {
        let bytes = try summed()
        #expect(ProxyHeader.parse(bytes.span) == .complete(consumed: 39, addresses: try addresses("192.0.2.1", "198.51.100.2")))
        #expect(ProxyHeader.parse((bytes + [7]).span) == .complete(consumed: 39, addresses: try addresses("192.0.2.1", "198.51.100.2")), "what follows is not in it")
    }

    @Test func aChecksumThatIsWrongRefusesTheConnection() throws {
        for place in 12..<39 where place != 14 && place != 15 && place != 29 && place != 30 {
            let bytes = try summed { $0[place] ^= 1 }
            // Another type for what was the checksum: there is none then.
            if place == 28 { continue }
            #expect(ProxyHeader.parse(bytes.span) == .failed, "byte \(place) is another")
        }
        let local = try summed { $0[12] = 0x20 }
        #expect(ProxyHeader.parse(local.span) == .failed, "also of a balancer that speaks for itself")
    }

    @Test(arguments: [(30, 9 as UInt8), (30, 3), (15, 21)])
    func whatFollowsTheAddressesHasToFit(_ place: Int, _ value: UInt8) throws {
        let bytes = try summed { $0[place] = value }
        #expect(ProxyHeader.parse(bytes.span) == .failed)
    }
}
