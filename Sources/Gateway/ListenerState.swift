import HTTP
import Rules
import TLS

/// One listener of one generation, as its connections need it. Connections keep the one they began with.
final class ListenerState {
    let name: String
    let scheme: Scheme
    let limits: Limits
    let protocols: Protocols
    let tls: ServerContext?
    /// Peers that begin with a PROXY header.
    let proxies: TrustedPeers?
    /// Requests for hosts that the connection's certificate does not cover are answered with 421.
    let checksNames: Bool

    /// Some site of the configuration opens tunnels for CONNECT.
    let allowsConnect: Bool

    /// Requests of HTTP/1.1 clients that have ended their side are served.
    let servesHalfClosed: Bool

    init(_ listener: Listener, tls: ServerContext?, allowsConnect: Bool) {
        self.allowsConnect = allowsConnect
        name = listener.name
        scheme = listener.tls == nil ? .http : .https
        limits = listener.limits
        protocols = listener.protocols
        servesHalfClosed = listener.servesHalfClosed
        self.tls = tls
        proxies = TrustedPeers(listener.proxyProtocol)
        checksNames = listener.tls?.refusesOtherNames ?? false
    }
}
