import COpenSSL

/// Keys for session tickets that all workers know without speaking to each other: made from one secret and the time.
/// Each is in use for one interval and opens tickets for two more.
public struct TicketKeyRing: Sendable {
    private let secret: [UInt8]
    /// Seconds.
    private let interval: Int

    /// - Parameter interval: seconds, at least 1.
    public init(secret: [UInt8], interval: Int) {
        self.secret = secret
        self.interval = max(1, interval)
    }

    /// Which key seals now. - Parameter wall: seconds since 1970.
    public func epoch(at wall: Int) -> Int { wall / interval }

    /// The key of an epoch, then the two before it.
    public func keys(at epoch: Int) -> [TicketKey] {
        guard !secret.isEmpty else { return [] }
        return (0..<3).compactMap { key(of: epoch - $0) }
    }

    private func key(of epoch: Int) -> TicketKey? {
        let parts = (0..<3).map { part in digest("sluice ticket \(epoch) \(part)") }
        return TicketKey(Array(parts.joined().prefix(TicketKey.byteCount)))
    }

    private func digest(_ label: String) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: UInt32 = 0
        let text = Array(label.utf8)
        // SAFETY: the arrays are alive for the call; the result has room for the largest digest.
        let made = unsafe HMAC(EVP_sha256(), secret, Int32(secret.count), text, text.count, &result, &count)
        return unsafe made == nil ? [] : Array(result.prefix(Int(count)))
    }
}
