import HTTP
import Reactor
import Upstream

/// The client's end of one exchange: an HTTP/1.1 connection or one HTTP/2 stream.
///
/// The runner tells it what to send; it tells the runner what arrived. Codecs know bytes, the runner
/// knows exchanges, and this is the seam between them.
class ClientStream: Channel {
    /// The exchange being worked on; nil between exchanges.
    final var runner: ExchangeRunner?

    /// Sends an interim response head (1xx) now.
    func sendInterim(status: Int) {}

    /// Sends the final head in `runner.response`. Its body follows from `runner.responseBody`.
    func sendHead() {}

    /// `runner.responseBody` grew or ended.
    func responseBodyChanged() {}

    /// The runner took bytes out of `runner.requestBody`: reading may go on.
    func resumeRequestBody() {}

    /// The exchange cannot be completed: cut it so that the client cannot take it for a success.
    func abort(_ kind: ErrorKind) {}

    /// From now on both directions are raw bytes (after a 101).
    func becomeTunnel() {}

    /// Whether a 101 of the origin is what the client's request for an upgrade led to.
    func acceptsUpgrade(_ response: borrowing Head) -> Bool { true }

    /// The listener that the client came by.
    var serving: ListenerState? { nil }

    /// Where the client's connection ends here: asked for once per connection, and only for origins that are told.
    var localEnd: Destination? { nil }

    /// The exchange being worked on is the first of its connection.
    var isFirst: Bool { false }

    /// Bytes sent to the client in this exchange, heads and framing included.
    var bytesSent: Int { 0 }

    /// Bytes of the exchange's body that wait to be sent behind `runner.responseBody`.
    var queuedBytes: Int { runner?.clientBacklog ?? 0 }

    /// To the client, in microseconds, as the kernel knows it.
    var roundTrip: Int? { nil }

    var clientProtocol: HTTPVersion { .http11 }
}
