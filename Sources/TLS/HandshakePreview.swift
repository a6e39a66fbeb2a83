/// Looks into a ClientHello that TLS has not been given yet.
public enum HandshakePreview {
    /// Bytes within which a ClientHello ends that is taken at all, records' heads included.
    public static let longest = (16 << 10) + 256
    private static let recordHead = 5
    private static let messageHead = 4

    /// The JA4 fingerprint of the client, empty when this is no ClientHello; nil when more of it is still to come.
    /// - Parameter bytes: the first of the connection.
    public static func fingerprint(_ bytes: ArraySlice<UInt8>) -> String? {
        var rest = bytes
        var message: [UInt8] = []
        while rest.count >= recordHead {
            let head = Array(rest.prefix(recordHead))
            let length = Int(head[3]) << 8 | Int(head[4])
            guard head[0] == 22, length > 0 else { return "" }
            message += rest.dropFirst(recordHead).prefix(length)
            if message.count >= messageHead {
                guard message[0] == 1 else { return "" }
                let whole = messageHead + (Int(message[1]) << 16 | Int(message[2]) << 8 | Int(message[3]))
                if whole > longest { return "" }
                if message.count >= whole { return ClientHello(Array(message.prefix(whole)))?.ja4 ?? "" }
            }
            guard rest.count >= recordHead + length else { break }
            rest = rest.dropFirst(recordHead + length)
        }
        return bytes.count >= longest ? "" : nil
    }
}
