public import KeyValue

/// A namespace on disk, as one worker uses it. Not to be opened twice in a process: LMDB's file locks belong to the
/// process and would go with the first one closed.
public final class EmbeddedStore {
    /// Writes that wait at the same time, and their bytes; further ones fail.
    public static let mostWaiting = 1_024, mostWaitingBytes = 32 << 20
    /// Writes in one transaction.
    static let batch = 256

    private let environment: StoreEnvironment
    private let writer: StoreWriter
    private var size: Int
    private var waiting: [(request: StoreRequest, answer: (StoreAnswer) -> Void)] = []
    private var waitingBytes = 0
    private var underWay = 0
    /// Entries taken out because they were over, since it was asked last.
    private var expired = 0
    /// Bytes of the file that held something when it was written last.
    public private(set) var used: Int

    /// - Parameters:
    ///   - path: a folder; made if it is not there.
    ///   - bytes: what it may hold.
    public init(path: String, bytes: Int, writer: StoreWriter) throws(StoreError) {
        environment = try StoreEnvironment(path: path, bytes: bytes)
        size = bytes
        used = environment.used
        self.writer = writer
    }

    /// Writes that were asked for and are not on disk yet.
    public var unwritten: Int { waiting.count + underWay }

    /// A look into mapped memory.
    /// - Parameter now: seconds since 1970.
    public func read(_ request: StoreRequest, now: UInt64) -> StoreAnswer {
        do throws(StoreError) {
            if request.kind == .list { return .page(try environment.list(request, now: now)) }
            return try environment.get(request.key, now: now).map { .entry($0) } ?? .missing
        } catch {
            return .failed(error.failure)
        }
    }

    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - answer: called on the reactor's thread: later, or before this returns when too much waits.
    public func write(_ request: StoreRequest, now: UInt64, _ answer: @escaping (StoreAnswer) -> Void) {
        guard waiting.count < Self.mostWaiting, waitingBytes + request.size <= Self.mostWaitingBytes || waiting.isEmpty else {
            return answer(.failed(StoreFailure(.busy, "\(waiting.count) writes wait for the disk already")))
        }
        waiting.append((request, answer))
        waitingBytes += request.size
        write(now)
    }

    /// What gathers while a transaction is under way goes in the next one.
    private func write(_ now: UInt64) {
        guard underWay == 0, !waiting.isEmpty else { return }
        let batch = Array(waiting.prefix(Self.batch))
        waiting.removeFirst(batch.count)
        underWay = batch.count
        waitingBytes -= batch.reduce(0) { $0 + $1.request.size }
        let work = WriteBatch(environment: environment, size: size, requests: batch.map(\.request), now: now)
        writer.make({ work.write() }, then: { report in
            self.underWay = 0
            self.take(report)
            self.write(now)
            for (entry, answer) in zip(batch, report.answers) { entry.answer(answer) }
        })
    }

    private func take(_ report: WriteReport) {
        expired += report.expired
        used = report.used
    }

    /// Takes out what is over, on the writing thread.
    /// - Parameter done: told whether more is left.
    public func sweep(now: UInt64, _ done: @escaping (Bool) -> Void) {
        let work = WriteBatch(environment: environment, size: size, requests: [], now: now)
        writer.make({ work.sweep() }, then: { report in
            self.take(report)
            done(report.expired >= WriteBatch.expireStep)
        })
    }

    public func takeExpired() -> Int {
        defer { expired = 0 }
        return expired
    }

    /// Follows a changed configuration.
    public func resize(_ bytes: Int) {
        guard bytes != size else { return }
        size = bytes
        let environment = environment
        writer.make({
            try? environment.resize(bytes)
            return WriteReport(used: environment.used)
        }, then: { self.take($0) })
    }
}
