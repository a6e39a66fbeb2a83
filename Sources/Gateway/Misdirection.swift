import Buffers
import HTTP
import TLS

/// A connection serves the names that its certificate covers (RFC 9110 section 7.4, RFC 9113 section 9.1.1): a client that
/// was led to another name's connection is told to open its own.
extension ExchangeRunner {
    func isRightlyDirected() -> Bool {
        guard let tls = client.tls, let listener = stream?.serving, let context = listener.tls, listener.checksNames else { return true }
        // The name that was asked for at the handshake: the usual case, and nothing is allocated for it.
        if request.isForHost(tls.serverName) { return true }
        if tls.serverName.isEmpty, request.isForAddress { return true }
        let served = context.certificateIndex(for: tls.serverName) ?? 0
        return context.certificateIndex(for: request.text(request.host())) == served
    }

    /// A call of gRPC or one of its kin: its body may rest as long as the two ends like.
    var isStreamingCall: Bool { request.hasType("application/grpc") || request.hasType("application/connect+") }
}

extension Head {
    /// Compares the host with text of the handshake, without case.
    fileprivate borrowing func isForHost(_ name: String) -> Bool {
        let host = bytes(host())
        let other = name.utf8
        guard other.count == host.count else { return false }
        var index = 0
        for byte in other {
            if lowercased(host[index]) != lowercased(byte) { return false }
            index += 1
        }
        return true
    }

    /// A client that connects to an address cannot name it at the handshake (RFC 6066 section 3).
    fileprivate var isForAddress: Bool {
        let host = bytes(host())
        guard host.count > 0 else { return false }
        if host[0] == UInt8(ascii: "[") { return true }
        for index in host.indices where host[index] != UInt8(ascii: ".") && host[index] &- 48 > 9 { return false }
        return true
    }
}
