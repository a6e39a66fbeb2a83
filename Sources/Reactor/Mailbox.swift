import Buffers
import CLinux

/// The one way for other threads to get work done on a reactor's thread.
public final class Mailbox: Sendable {
    private let messages = Guarded<[@Sendable () -> Void]>([])
    fileprivate let eventfd: Int32

    init(eventfd: Int32) { self.eventfd = eventfd }

    deinit { _ = sluice_close(eventfd) }

    /// Runs `work` on the reactor's thread soon. Callable from any thread.
    public func post(_ work: @escaping @Sendable () -> Void) {
        messages.withLock { $0.append(work) }
        _ = sluice_eventfd_signal(eventfd)
    }

    fileprivate func take() -> [@Sendable () -> Void] {
        messages.withLock { waiting in
            let taken = waiting
            waiting = []
            return taken
        }
    }
}

/// The reactor's end of a mailbox.
private final class MailboxChannel: Channel {
    let mailbox: Mailbox

    init(_ mailbox: Mailbox) {
        self.mailbox = mailbox
        super.init(fd: mailbox.eventfd)
    }

    override func ready(_ events: ReadyEvents) {
        _ = sluice_eventfd_drain(fd)
        for work in mailbox.take() { work() }
    }
}

extension Reactor {
    /// A mailbox whose messages run on this reactor's thread, as long as the reactor lives.
    public final func makeMailbox() throws(SystemError) -> Mailbox {
        let fd = sluice_eventfd()
        guard fd >= 0 else { throw SystemError(call: "eventfd", code: -fd) }
        let mailbox = Mailbox(eventfd: fd)
        try addLevelTriggered(MailboxChannel(mailbox))
        return mailbox
    }
}
