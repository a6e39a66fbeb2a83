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
    /// Entries taken out in one transaction, and such transactions for one write to a full namespace.
    static let expireStep = 1_000, expireSteps = 8

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
            for _ in 0..<Self.expireSteps {
                do throws(StoreError) {
                    try commit(requests[index...index])
                    return .done
                } catch {
                    guard error.isFull else { throw error }
                    // What is over makes room.
                    let expired = try environment.expire(now: now, atMost: Self.expireStep)
                    guard expired > 0 else { throw error }
                    report.expired += expired
                }
            }
            try commit(requests[index...index])
            return .done
        } catch {
            return .failed(error.failure)
        }
    }

    private func commit(_ requests: ArraySlice<StoreRequest>) throws(StoreError) {
        try environment.begin()
        do throws(StoreError) {
            let bytes = requests.reduce(0) { $1.kind == .put ? $0 + $1.size + 64 : $0 }
            if bytes > 0 { try environment.reserve(bytes, within: size) }
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

    /// Takes out what is over; true in the report's `expired` when more is left than one step takes.
    func sweep() -> WriteReport {
        var report = WriteReport()
        environment.checkReaders()
        report.expired = (try? environment.expire(now: now, atMost: Self.expireStep)) ?? 0
        report.used = environment.used
        return report
    }
}
