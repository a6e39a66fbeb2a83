import Reactor

/// Lets the kernel wake the worker for many bytes of a large body at a time.
///
/// An origin that sends as fast as it can wakes its reader for each segment: most of what 10 MB cost are such turns and the small
/// pieces that they move. Once `proof` bytes have come within `patience`, an empty socket is called readable again only when
/// `threshold` bytes wait, or what is left of the body. What comes slower than that goes on when `patience` has passed, and a body
/// that was held up so `tolerance` times is read as usual from then on.
final class ReadModeration: Timer {
    /// Bytes.
    static let threshold = 512 << 10
    /// Bytes.
    static let proof = 256 << 10
    /// Milliseconds that bytes wait for others at most.
    static let patience: UInt64 = 8
    /// Times that bytes of one body may wait in vain.
    static let tolerance = 3
    /// An origin that sends nothing at all holds nothing up, but for as long the loop wakes up for it.
    private static let mostLooks = 8

    private unowned let connection: OriginConnection
    private var isOn = false
    /// Bytes that the kernel waits for now.
    private var used = ReceiveThreshold.none
    /// How often bytes of this body have waited in vain.
    private var delays = 0
    /// How often the socket was found empty in a row.
    private var looks = 0
    /// Bytes that have come since a moment, in monotonic milliseconds.
    private var counted = 0
    private var since: UInt64 = 0

    init(_ connection: OriginConnection) { self.connection = connection }

    /// Another body; one that is not large is read as usual.
    func begin(isLarge: Bool) {
        delays = isLarge ? 0 : ReadModeration.tolerance
        startOver()
    }

    private func startOver() {
        counted = 0
        since = connection.context.reactor.now
    }

    /// `count` bytes came.
    func note(count: Int) {
        looks = 0
        guard !isOn else { return }
        counted += count
        guard counted >= ReadModeration.proof else { return }
        let isFast = connection.context.reactor.now &- since <= ReadModeration.patience
        startOver()
        isOn = isFast && delays < ReadModeration.tolerance
    }

    /// The socket is empty, and `left` bytes of the body are to come.
    func wait(left: Int) {
        guard isOn else { return }
        use(Int32(min(left, ReadModeration.threshold)))
        connection.context.reactor.schedule(self, after: ReadModeration.patience)
    }

    private func use(_ bytes: Int32) {
        guard bytes != used else { return }
        used = bytes
        ReceiveThreshold.set(connection.fd, bytes)
    }

    /// Back to a socket that is readable when it has a byte.
    func end() {
        guard isOn else { return }
        isOn = false
        startOver()
        connection.context.reactor.cancel(self)
        use(ReceiveThreshold.none)
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
