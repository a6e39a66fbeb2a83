import Reactor

/// While a worker waits for its restart, its sockets would collect connections that nobody accepts:
/// the kernel goes on giving it its share. Another worker accepts for it meanwhile.
extension Supervisor {
    /// Who accepts for a waiting worker.
    struct Loan {
        let borrower: WorkerProcess
        let keys: [String]
    }

    /// Gives the sockets of the waiting worker `index` to a worker that serves, if there is one.
    func lend(_ index: Int) {
        takeBack(index)
        let ready = workers.compactMap { $0 }.filter { $0.state == .ready && !$0.isOver }
        guard phase != .draining, !ready.isEmpty else { return }
        let borrower = ready[index % ready.count]
        var keys: [String] = []
        for entry in listeners.entries {
            let key = "\(entry.key) of worker \(index)"
            borrower.send(.openListener(key: key, listener: entry.actual), passing: entry.sockets[index])
            keys.append(key)
        }
        loans[index] = Loan(borrower: borrower, keys: keys)
    }

    func takeBack(_ index: Int) {
        guard let loan = loans.removeValue(forKey: index) else { return }
        for key in loan.keys { loan.borrower.send(.closeListener(key: key)) }
    }

    func takeBackAll() {
        for index in loans.keys { takeBack(index) }
    }

    /// Lends what every waiting worker has; also called when a borrower dies or a first worker is ready.
    func lendAll() {
        for index in restartTimers.keys { lend(index) }
    }
}
