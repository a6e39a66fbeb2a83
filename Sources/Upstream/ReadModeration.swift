import Reactor

/// Lets the kernel wake the worker for many bytes of a large body at a time.
///
/// An origin that sends as fast as it can wakes its reader for each segment: most of what 10 MB cost are such turns and the small
/// pieces that they move. Once `proof` bytes have come within `patience`, the socket is called readable only when `threshold`
/// bytes wait. What comes slower than that goes on when `patience` has passed, and a body that was held up so `tolerance` times is
/// read as usual from then on.
final class ReadModeration: Timer {
    /// Bytes.
    static let threshold = 128 << 10
    /// Bytes.
    static let proof = 256 << 10
    /// Milliseconds that bytes wait for others at most.
    static let patience: UInt64 = 8
    /// Times that bytes of one body may wait in vain.
    static let tolerance = 3
    /// An origin that sends nothing at all holds nothing up, but for as long the loop wakes up for it.
    private static let mostLooks = 8

    private unowned let connection: OriginConnection
    private(set) var isOn = false
    /// How often bytes of this body have waited in vain.
    private var delays = 0
    /// How often the socket was found empty in a row.
    private var looks = 0
    /// Bytes that have come since a moment, in monotonic milliseconds.
    private var counted = 0
    private var since: UInt64 = 0

    init(_ connection: OriginConnection) { self.connection = connection }

    /// Another body.
    func begin() {
        delays = 0
        startOver()
    }

    private func startOver() {
        counted = 0
        since = connection.context.reactor.now
    }

    /// Before a read: the end of the body must not wait for bytes that are not part of it.
    func prepare(left: Int) {
        if isOn, left < ReadModeration.threshold { end() }
    }

    /// After a read of `count` bytes, `left` of the body being still to come.
    func note(count: Int, left: Int) {
        looks = 0
        guard !isOn else { return }
        counted += count
        guard counted >= ReadModeration.proof else { return }
        let isFast = connection.context.reactor.now &- since <= ReadModeration.patience
        startOver()
        guard isFast, delays < ReadModeration.tolerance, left >= ReadModeration.threshold else { return }
        isOn = true
        ReceiveThreshold.set(connection.fd, Int32(ReadModeration.threshold))
    }

    /// The socket is empty.
    func wait() {
        if isOn { connection.context.reactor.schedule(self, after: ReadModeration.patience) }
    }

    /// Back to a socket that is readable when it has a byte.
    func end() {
        guard isOn else { return }
        isOn = false
        startOver()
        connection.context.reactor.cancel(self)
        ReceiveThreshold.set(connection.fd, ReceiveThreshold.none)
    }

    override func fire() {
        guard isOn, !connection.canRead else { return }
        let received = connection.received
        looks += 1
        connection.lookAgain()
        guard isOn else { return }
        if connection.received != received {
            delays += 1
            end()
        } else if looks >= ReadModeration.mostLooks {
            end()
        }
    }
}
