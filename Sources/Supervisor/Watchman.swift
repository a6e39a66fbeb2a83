import Reactor

/// The first process of a container cannot leave: the container would end with it. After an upgrade, and when its own requests
/// are finished, it stays as the parent of the process that serves, passes signals on to it, buries orphans, and ends as it does.
final class Watchman: Timer {
    /// Milliseconds between two looks at orphans.
    private static let period: UInt64 = 1_000
    private unowned let supervisor: Supervisor
    private var child: ChildProcess
    private var exit: WatchmanExit?

    init(_ supervisor: Supervisor, _ child: ChildProcess) {
        self.supervisor = supervisor
        self.child = child
    }

    func begin() { supervisor.reactor.schedule(self, after: Watchman.period) }

    override func fire() {
        ProcessSetup.buryOthers(than: child.pid)
        begin()
    }

    func passOn(_ signal: Signal) { child.send(signal) }

    /// The process that served has ended: another one has taken its place, or all is over.
    func ended(_ end: ProcessEnd) {
        if let next = ChildProcess.adopt(withEnvironment: "\(TakeoverStart.variable)=\(child.pid)"), watch(next) {
            return supervisor.log.info("upgrade", "watching over process \(next.pid), which serves now", [("pid", .number(Int(next.pid)))])
        }
        supervisor.exitCode = if case .exited(let code) = end { code } else { 1 }
        if supervisor.exitCode != 0 { supervisor.log.error("upgrade", "process \(child.pid), which served, ended with \(end)") }
        supervisor.reactor.stop()
    }

    private func watch(_ next: ChildProcess) -> Bool {
        let exit = WatchmanExit(self, next)
        do { try supervisor.reactor.addLevelTriggered(exit) } catch { return false }
        child = next
        self.exit = exit
        return true
    }

    fileprivate func looked(_ exit: WatchmanExit) {
        guard let end = child.reap() else { return }
        supervisor.reactor.remove(exit)
        self.exit = nil
        ended(end)
    }
}

private final class WatchmanExit: Channel {
    private unowned let watchman: Watchman

    init(_ watchman: Watchman, _ child: ChildProcess) {
        self.watchman = watchman
        super.init(fd: child.pidDescriptor.number)
    }

    override func ready(_ events: ReadyEvents) { watchman.looked(self) }
}

extension Supervisor {
    /// Nothing is left to do here. True when this process stays all the same.
    func becomesWatchman() -> Bool {
        guard options.staysAsParent, upgrade.isHandedOver, watchman == nil, let successor = upgrade.successor else { return watchman != nil }
        let watchman = Watchman(self, successor.child)
        self.watchman = watchman
        // It hears by this that nothing runs here any more.
        successor.hangUp()
        if let end = upgrade.successorEnd {
            watchman.ended(end)
        } else {
            log.info("upgrade", "staying as the parent of process \(successor.pid), which serves")
            watchman.begin()
        }
        return true
    }
}
