import COpenSSL
import Glibc

/// What a client's certificate says of itself.
public struct PeerCertificate: Sendable, Equatable {
    /// RFC 2253: `CN=alice,O=Example`.
    public var subject: String
    public var issuer: String
    /// Hexadecimal, lower case.
    public var serial: String
    /// SHA-256 of the whole certificate, hexadecimal.
    public var fingerprint: String
    /// Signed by one of the authorities, and valid.
    public var isVerified: Bool
}

/// The kernel's TLS (kTLS): it makes the records of what a server sends, so that bodies need not enter user space.
public enum KernelTLS {
    /// nil when the kernel can take over the records of connections, or why not. Asked once.
    public static let refusal: String? = {
        let error = sluice_ktls_probe()
        // SAFETY: strerror gives a static string.
        return error == 0 ? nil : unsafe String(cString: strerror(error))
    }()

    public static var isAvailable: Bool { refusal == nil }
}

extension TLSTransport {
    /// The client's certificate, when it showed one.
    func peerCertificate() -> PeerCertificate? {
        var peer = sluice_peer()
        // SAFETY: the session is alive; the structure is filled and its texts end with zero.
        unsafe sluice_peer_read(session, &peer)
        guard peer.present != 0 else { return nil }
        return PeerCertificate(
            subject: text(of: peer.subject), issuer: text(of: peer.issuer), serial: text(of: peer.serial),
            fingerprint: text(of: peer.fingerprint), isVerified: peer.verified != 0)
    }

    /// The alternative names of the client's certificate that are DNS names, URIs and mail addresses, as OpenSSL writes them:
    /// `DNS:a.example`, `URI:spiffe://a/b`, `email:a@example`. Those beyond 8 KiB are left out.
    public func peerNames() -> [String] {
        let text = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 8192) { room -> String in
            guard let start = room.baseAddress, let session = unsafe session else { return "" }
            // SAFETY: the session is alive; C writes at most the room it is given, with a zero at its end.
            unsafe sluice_peer_names(session, start, room.count)
            return unsafe String(cString: start)
        }
        return text.split(separator: "\n").map(String.init)
    }

    /// Text of a C array that ends with zero.
    private func text<Room>(of room: Room) -> String {
        // SAFETY: the bytes are copied inside the closure.
        unsafe withUnsafeBytes(of: room) { bytes in unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
