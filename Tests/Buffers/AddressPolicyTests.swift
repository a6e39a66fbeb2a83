import Buffers
import Testing

@Suite struct AddressPolicyTests {
    @Test(arguments: [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254", "169.254.169.254",
        "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1",
        "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1", "::127.0.0.1", "::a00:1",
        "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "fe80::1", "fe80::1:2:3:4", "febf::1", "fc00::1", "fd00:ec2::254", "fdff::1",
        "fec0::1", "ff02::1", "ff0e::1", "2001::1", "2001:0:7f00:1::", "2001:db8::1", "2001:10::1", "2002:7f00:1::1", "2002:a00:1::", "2002:a9fe:a9fe::1",
        "2002:c0a8:101::", "3fff::1", "100::1", "4000::1", "8000::1",
    ])
    func `what is not public is refused`(text: String) throws {
        let address = try #require(IPAddress(text))
        #expect(AddressPolicy().refusal(address) != nil, "\(text)")
    }

    @Test(arguments: [
        "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.255.255.255", "128.0.0.1", "169.253.255.255",
        "172.15.255.255", "172.32.0.1", "192.167.255.255", "192.169.0.1", "198.17.255.255", "198.20.0.1", "223.255.255.255",
        "2606:4700:4700::1111", "2a00:1450:4001::1", "2002:808:808::1", "::ffff:8.8.8.8", "2400::1",
    ])
    func `what is public is not`(text: String) throws {
        let address = try #require(IPAddress(text))
        #expect(AddressPolicy().refusal(address) == nil, "\(text)")
    }

    @Test func `what is allowed by name is allowed, and nothing beside it`() throws {
        let policy = AddressPolicy(allowed: [.init(try #require(IPAddress("10.1.0.0")), 16), .init(try #require(IPAddress("fd12::")), 32)])
        for (text, isAllowed) in [("10.1.2.3", true), ("10.2.0.1", false), ("fd12::7", true), ("fd13::7", false), ("::ffff:10.1.0.1", true), ("8.8.8.8", true)] {
            #expect((policy.refusal(try #require(IPAddress(text))) == nil) == isAllowed, "\(text)")
        }
    }
}
