import Buffers
import HTTP

/// What a path asks for.
enum OriginAnswer: Equatable {
    case index
    case echo
    /// The request's body, as it comes.
    case echoBody
    /// 500 with a body.
    case error
    /// `count` bytes, with a length or in chunks.
    case bytes(Int, chunked: Bool)
    case trailers
    case status(Int)
    /// The echo after so many milliseconds.
    case slow(UInt64)
    /// Closes without an answer.
    case close
    /// Promises 1000 bytes, sends 100, resets.
    case cut
    case notFound

    static let help: StaticString = """
        The demo origin of Sluice.
          /echo           the request as JSON; also any other path
          /echo-body      the request's body as it comes, framed in the same way
          /bytes/N        N bytes with Content-Length
          /chunked/N      N bytes in chunks (/chunked: 30,000)
          /trailers       chunks and a trailer
          /status/N       an empty answer with that status
          /error          500 with a body
          /slow/MS        the echo, after so many milliseconds
          /close          no answer: the connection is closed
          /cut            an answer that is cut off
        A WebSocket handshake on any path: every message comes back.

        """

    init(path: borrowing Span<UInt8>) {
        let parts = Self.split(path.text())
        let number = parts.count > 1 ? Int(parts[1]) : nil
        switch (parts.first ?? "", number) {
        case ("", _): self = .index
        case ("bytes", .some(let count)) where count >= 0: self = .bytes(count, chunked: false)
        case ("chunked", .some(let count)) where count >= 0: self = .bytes(count, chunked: true)
        case ("chunked", nil): self = .bytes(30_000, chunked: true)
        case ("trailers", _): self = .trailers
        case ("status", .some(let status)) where (200...599).contains(status): self = .status(status)
        case ("slow", .some(let milliseconds)) where (0...600_000).contains(milliseconds): self = .slow(UInt64(milliseconds))
        case ("echo-body", nil): self = .echoBody
        case ("error", nil): self = .error
        case ("close", _): self = .close
        case ("cut", _): self = .cut
        case ("bytes", _), ("status", _), ("slow", _), ("chunked", _): self = .notFound
        default: self = .echo
        }
    }

    private static func split(_ path: String) -> [Substring] {
        path.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: true)
    }
}
