import KeyValue
public import Reactor

/// What came of one piece of work on the writing thread.
struct WriteReport: Sendable {
    var answers: [StoreAnswer] = []
    /// Entries taken out because they were over.
    var expired = 0
    var used = 0
}

/// The thread of a worker that writes its namespaces on disk.
public final class StoreWriter {
    private let workshop: Workshop<WriteReport>

    /// - Throws: when no thread can be had.
    public init(reactor: Reactor) throws(SystemError) { workshop = try Workshop(reactor: reactor) }

    func make(_ work: @escaping @Sendable () -> WriteReport, then use: @escaping (WriteReport) -> Void) {
        workshop.make(work, then: use)
    }
}

/// A transaction's worth of work, carried out on the writing thread.
struct WriteBatch: Sendable {
    /// Entries taken out in one transaction.
    static let expireStep = 1_000

    let environment: StoreEnvironment
    let size: Int
    let requests: [StoreRequest]
    /// Seconds since 1970.
    let now: UInt64

    func write() -> WriteReport {
        var report = WriteReport()
        if requests.count > 1, (try? commit(requests[...])) != nil {
            report.answers = requests.map { _ in .done }
        } else {
            for index in requests.indices { report.answers.append(writeAlone(index, &report)) }
        }
        report.used = environment.used
        return report
    }

    /// One that nobody else's fault can undo.
    private func writeAlone(_ index: Int, _ report: inout WriteReport) -> StoreAnswer {
        do throws(StoreError) {
            do throws(StoreError) {
                try commit(requests[index...index])
            } catch {
                guard error.isFull, try makeRoom(for: requests[index], &report) else { throw error }
                try commit(requests[index...index])
            }
            return .done
        } catch {
            return .failed(error.failure)
        }
    }

    private func commit(_ requests: ArraySlice<StoreRequest>) throws(StoreError) {
        try environment.begin()
        do throws(StoreError) {
            for request in requests { try apply(request) }
        } catch {
            environment.abort()
            throw error
        }
        try environment.commit()
    }

    private func apply(_ request: StoreRequest) throws(StoreError) {
        if request.kind == .delete { return try environment.remove(request.key) }
        try environment.put(request.key, request.value, request.metadata, expiration: request.end(now: now))
    }

    /// What is over goes. A deletion needs room too, for copies of the pages it changes: it gets some beyond the size.
    private func makeRoom(for request: StoreRequest, _ report: inout WriteReport) throws(StoreError) -> Bool {
        let spare = 1 << 20
        do throws(StoreError) {
            report.expired += try environment.expire(now: now, atMost: Self.expireStep)
        } catch {
            guard error.isFull else { throw error }
            try environment.resize(size + spare)
            report.expired += try environment.expire(now: now, atMost: Self.expireStep)
        }
        if request.kind == .delete { try environment.resize(size + spare) }
        return request.kind == .delete || report.expired > 0
    }

    /// Takes out what is over; true in the report's `expired` when more is left than one step takes.
    func sweep() -> WriteReport {
        var report = WriteReport()
        environment.checkReaders()
        report.expired = (try? environment.expire(now: now, atMost: Self.expireStep)) ?? 0
        report.used = environment.used
        return report
    }
}
