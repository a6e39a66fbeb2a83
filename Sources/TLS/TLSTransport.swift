public import Buffers
public import Reactor

/// What a handshake settled.
public struct TLSConnectionInfo: Sendable {
    /// `TLSv1.2` or `TLSv1.3`.
    public var version: String
    public var cipher: String
    /// The server name the client sent, lower case; empty when it sent none.
    public var serverName: String
    /// The protocol chosen by ALPN (RFC 7301), for instance `h2`; empty when none was.
    public var alpn: String
    public var resumed: Bool
}

public enum HandshakeResult: Sendable {
    /// Done. Application bytes may already wait inside: call `receive` now.
    case done(TLSConnectionInfo)
    case wantsRead
    case wantsWrite
    /// The note is for the log: what OpenSSL or the certificate check said.
    case failed(String)
}

/// TLS over a non-blocking socket. The descriptor belongs to the connection's channel, which closes it.
public final class TLSTransport: Transport {
    private let reactor: Reactor

    /// The server's end.
    public init(server context: ServerContext, fd: Int32, reactor: Reactor) {
        self.reactor = reactor
    }

    /// The client's end, towards an origin.
    /// - Parameter serverName: sent as SNI and checked against the certificate; an IP address is only checked.
    public init(client context: ClientContext, fd: Int32, serverName: String, reactor: Reactor) {
        self.reactor = reactor
    }

    /// Goes on with the handshake; call again when the socket is ready for what it wants.
    public func handshake() -> HandshakeResult { .failed("not written") }

    /// Decrypts records until `buffer`'s free room is full or the socket is drained.
    ///
    /// Not drained means: call again when there is room, without waiting for the socket.
    /// An end without close_notify is `.failed(ECONNRESET)`: the message may be cut short.
    public override func receive(into buffer: inout ReadBuffer) -> IOResult { .failed(71) }

    /// Encrypts and sends. Bytes leave `output` once the kernel has their records, so an output that
    /// is not empty means: call again when the socket is writable.
    public override func send(_ output: inout OutputBuffer) -> IOResult { .failed(71) }

    /// Sends close_notify, then FIN.
    public override func finishSending() {}

    /// Why the last call failed, for the log; empty when none did.
    public private(set) var failure = ""
}
