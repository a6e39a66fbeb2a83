import TLS

/// The values of cookies by which clients stay with their servers.
enum StickyCookies {
    /// The same for the same server and key, in every worker, generation and gateway; without the key it says nothing about the server.
    static func value(of server: String, _ key: [UInt8]) -> String {
        let code = MessageCode.make(key: key, text: Array("sluice sticky \(server)".utf8)) ?? []
        return code.prefix(8).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
