import Hooks
import KeyValue
import Reactor
import Rules
import Stores
import TLS
import Telemetry
import Upstream

/// A namespace as the hooks of one generation reach it.
final class OpenNamespace {
    enum Place {
        case disk(EmbeddedStore)
        case redis(RedisStore)
        /// Of a rehearsal, by name.
        case memory
    }

    let name: String
    let place: Place

    /// The way to its Redis.
    var client: RedisClient? { if case .redis(let store) = place { store.client } else { nil } }

    fileprivate init(_ name: String, _ place: Place) {
        self.name = name
        self.place = place
    }
}

/// The namespaces of one worker. Answers reach hooks at the end of the loop's turn, never from inside a request: a hook
/// that asks again and again grows no stack.
final class WorkerStores: Channel {
    unowned let worker: Worker
    /// By folder. Never closed while the process lives: LMDB's locks allow no second opening.
    private var disks: [String: EmbeddedStore] = [:]
    private var writer: StoreWriter?
    /// Those that some generation still uses.
    private var clients: [WeakClient] = []
    private var memories: [String: MemoryStore] = [:]
    /// What hooks keep with `caches`.
    fileprivate var cache = ResponseCache()
    private var answers: [Answer] = []
    /// What is answered from memory.
    private var line = StoreLine<StoreQuestion>()
    private lazy var redis = RedisQuestions(self)
    /// The loop comes back at the end of this turn.
    private var isPosted = false
    private let sweeper = SweepTimer()
    private var isSweeping = false
    /// When a failure was logged last, by namespace and kind.
    private var logged: [String: UInt64] = [:]

    private struct Answer {
        let call: GatewayHookCall
        let ticket: HookStoreTicket
        let answer: StoreAnswer
    }

    /// Milliseconds between two looks for entries that are over.
    private static let sweepPeriod: UInt64 = 10_000
    /// Rounds of answers in one turn of the loop.
    private static let rounds = 64
    /// Milliseconds between two log lines about the same failure.
    private static let quiet: UInt64 = 60_000

    init(worker: Worker) {
        self.worker = worker
        super.init(fd: -1)
        sweeper.stores = self
    }

    // MARK: Opening

    /// - Throws: `GenerationError` when a namespace cannot be opened.
    func open(_ configuration: Configuration, _ files: FileBundle) throws(GenerationError) -> [OpenNamespace] {
        var opened: [OpenNamespace] = []
        for namespace in configuration.namespaces { opened.append(try open(namespace, configuration, files)) }
        return opened
    }

    private func open(_ namespace: KeyValueNamespace, _ configuration: Configuration, _ files: FileBundle) throws(GenerationError) -> OpenNamespace {
        if worker.stage != nil { return OpenNamespace(namespace.name, .memory) }
        switch namespace.place {
        case .disk(let path): return OpenNamespace(namespace.name, .disk(try openDisk(namespace, path)))
        case .redis(let place):
            let client = try client(try RedisSettings(place, configuration, files), namespace.name)
            return OpenNamespace(namespace.name, .redis(RedisStore(client, prefix: place.prefix)))
        }
    }

    private func openDisk(_ namespace: KeyValueNamespace, _ given: String?) throws(GenerationError) -> EmbeddedStore {
        let path: String
        do {
            path = try given ?? StateFolder.make(for: namespace.name)
            if let kept = disks[path] {
                kept.resize(namespace.size)
                return kept
            }
            let writer = try self.writer ?? StoreWriter(reactor: worker)
            self.writer = writer
            let store = try EmbeddedStore(path: path, bytes: namespace.size, writer: writer)
            disks[path] = store
            sweepLater()
            return store
        } catch {
            let place = given.map { "\"\($0)\"" } ?? "the state folder"
            throw GenerationError(description:
                "kv \"\(namespace.name)\": \(place) cannot be used: \(error); give `path:` a folder whose parent exists and may be written by user \(RuntimeFolder.user)")
        }
    }

    /// The way to a Redis: one for all namespaces that are there.
    func client(_ settings: RedisSettings, _ name: String) throws(GenerationError) -> RedisClient {
        clients.removeAll { $0.client == nil }
        if let kept = clients.lazy.compactMap(\.client).first(where: { $0.settings == settings }) { return kept }
        do throws(StoreFailure) {
            let client = try RedisClient(settings, reactor: worker, pool: worker.pool) { [unowned worker] name, use in
                guard let resolver = worker.resolver else { return use([]) }
                resolver.addresses(of: name, use)
            }
            clients.append(WeakClient(client: client))
            return client
        } catch {
            throw GenerationError(description: "kv \"\(name)\": \(error.message)")
        }
    }

    // MARK: Asking

    func perform(_ namespace: OpenNamespace, _ request: HookStoreRequest, for call: GatewayHookCall) {
        count(request.request)
        switch namespace.place {
        case .disk(let store) where request.request.isWrite:
            store.write(request.request, now: wallSeconds) { [weak self] answer in self?.answer(call, request.ticket, answer, namespace) }
        case .disk, .memory, .redis: queue(request, for: call, namespace)
        }
    }

    var wallSeconds: UInt64 { UInt64(max(worker.wallSeconds, 0)) }

    /// - Parameter namespace: nil for `caches`, whose answers are counted apart.
    private func answer(_ call: GatewayHookCall, _ ticket: HookStoreTicket, _ answer: StoreAnswer, _ namespace: OpenNamespace?) {
        if let namespace { tally(answer, namespace) }
        answers.append(Answer(call: call, ticket: ticket, answer: answer))
        post()
    }

    func tally(_ answer: StoreAnswer, _ namespace: OpenNamespace) {
        if case .failed(let failure) = answer { note(failure, namespace) }
        if case .entry(let entry) = answer { worker.metrics.add(.kvBytesRead, entry.value.count) }
    }

    func post() {
        guard !isPosted else { return }
        isPosted = true
        worker.later(self)
    }

    fileprivate func queue(_ request: HookStoreRequest, for call: GatewayHookCall, _ namespace: OpenNamespace?) {
        let tenant = call.bound?.shared.key.placement.cordon ?? ""
        let question = StoreQuestion(call: call, tenant: tenant, namespace: namespace, request: request)
        if let namespace, case .redis = namespace.place {
            if redis.ask(question, namespace.name) { return }
        } else if line.add(question, of: tenant) {
            return post()
        }
        let failure = StoreFailure(.busy, "\(StoreLine<StoreQuestion>.most) questions of this tenant wait already")
        answer(call, request.ticket, .failed(failure), namespace)
    }

    /// A cordon has taken some of what it was told, or its calls are over.
    func roomCame() { if !line.isEmpty || !redis.isEmpty { post() } }

    override func resume() {
        isPosted = false
        var left = StoreLine<StoreQuestion>.share, leftOfRedis = left
        for _ in 0..<Self.rounds where left > 0 && !(answers.isEmpty && line.isEmpty) {
            let batch = answers
            answers.removeAll(keepingCapacity: true)
            for one in batch { one.call.storeFinished(one.ticket, one.answer) }
            guard look(&left) || !answers.isEmpty else { break }
        }
        while leftOfRedis > 0, redis.deliver(&leftOfRedis) {}
        // Whoever has no room for an answer says when it has.
        if !answers.isEmpty || left <= 0 && !line.isEmpty || leftOfRedis <= 0 && !redis.isEmpty { post() }
    }

    /// Answers what its turn has room for. False: nothing was to be answered.
    private func look(_ left: inout Int) -> Bool {
        var looked = false
        while left > 0, let question = line.next(where: { $0.call.hasRoomForAnswers }) {
            looked = true
            guard question.isWanted else { continue }
            let answer = look(question)
            left -= StoreLine<StoreQuestion>.weight(of: answer)
            question.call.storeFinished(question.request.ticket, answer)
        }
        return looked
    }

    private func look(_ question: StoreQuestion) -> StoreAnswer {
        let request = question.request.request
        guard let namespace = question.namespace else { return cached(question) }
        let answer = switch namespace.place {
        case .disk(let store): store.read(request, now: wallSeconds)
        case .memory: memories[namespace.name, default: MemoryStore()].perform(request, now: wallSeconds)
        case .redis: StoreAnswer.missing
        }
        tally(answer, namespace)
        return answer
    }

    // MARK: Counting

    private func count(_ request: StoreRequest) {
        switch request.kind {
        case .get: worker.metrics.add(.kvGets)
        case .put:
            worker.metrics.add(.kvPuts)
            worker.metrics.add(.kvBytesWritten, request.value.count)
        case .delete: worker.metrics.add(.kvDeletes)
        case .list: worker.metrics.add(.kvLists)
        }
    }

    private func note(_ failure: StoreFailure, _ namespace: OpenNamespace) {
        worker.metrics.add(Self.counter(failure.kind))
        let key = "\(namespace.name) \(failure.kind)"
        guard worker.now >= logged[key] ?? 0 else { return }
        logged[key] = worker.now + Self.quiet
        worker.note(.warning, "kv \(namespace.name): \(failure.message)")
    }

    /// A limit's Redis did not answer: told now and then.
    func noteLimit(_ failure: StoreFailure, _ rule: String) {
        guard worker.now >= logged["limit \(rule)"] ?? 0 else { return }
        logged["limit \(rule)"] = worker.now + Self.quiet
        worker.note(.warning, "rate_limit of rule \"\(rule)\": \(failure.message)")
    }

    private static func counter(_ kind: StoreFailure.Kind) -> Counter {
        switch kind {
        case .full: .kvFailuresFull
        case .busy: .kvFailuresBusy
        case .timeout: .kvFailuresTimeout
        case .unreachable: .kvFailuresUnreachable
        case .refused: .kvFailuresRefused
        case .broken: .kvFailuresBroken
        }
    }

    func publish(_ metrics: Metrics) {
        let live = clients.compactMap(\.client)
        for client in live {
            let (connects, losses) = client.takeCounts()
            metrics.add(.redisConnects, connects)
            metrics.add(.redisLosses, losses)
        }
        metrics.set(.redisConnected, live.count { $0.isConnected })
        tidyCache(metrics)
        roomCame()
        // One worker tells of files that all share.
        guard worker.context.worker == 0 else { return }
        metrics.set(.kvBytes, disks.values.reduce(0) { $0 + $1.used })
    }

    // MARK: What is over

    private func sweepLater(_ milliseconds: UInt64 = WorkerStores.sweepPeriod) {
        guard !isSweeping else { return }
        isSweeping = true
        worker.schedule(sweeper, after: milliseconds)
    }

    fileprivate func sweep() {
        isSweeping = false
        let now = UInt64(max(worker.wallSeconds, 0))
        for store in disks.values {
            worker.metrics.add(.kvExpired, store.takeExpired())
            store.sweep(now: now) { [weak self] more in
                if more { self?.sweepSoon() }
            }
        }
        sweepLater()
    }

    private func sweepSoon() {
        worker.schedule(sweeper, after: 200)
        isSweeping = true
    }

    // MARK: The end

    /// Lets what was asked for reach the disk before the process ends.
    func finish() {
        let patience = worker.preciseNow + 2_000_000_000
        while disks.values.contains(where: { $0.unwritten > 0 }), worker.preciseNow < patience { worker.turn(maximumWait: 20) }
    }

    // MARK: Rehearsals

    func rehearse(_ entries: [(namespace: String, key: String, value: String)]) {
        memories.removeAll()
        for entry in entries {
            var request = StoreRequest(.put, key: Array(entry.key.utf8))
            request.value = Array(entry.value.utf8)
            _ = memories[entry.namespace, default: MemoryStore()].perform(request, now: 0)
        }
    }

    /// Everything that is not over, by namespace and key.
    var rehearsed: [String: [String: [UInt8]]] {
        let now = UInt64(max(worker.wallSeconds, 0))
        return memories.mapValues { store in
            Dictionary(uniqueKeysWithValues: store.all(now: now).map { (String(decoding: $0, as: UTF8.self), $1) })
        }
    }
}

/// What hooks keep with `caches`: in this worker's memory, a part for each tenant.
extension WorkerStores {
    /// All tenants together: a twentieth of what isolates may hold, 64 MiB where there is memory.
    private var cacheBytes: Int { min(64 << 20, Int(clamping: worker.overload.isolateBytes / 20)) }

    /// One after the other: what is asked for behind something that was put finds it there.
    func performInCache(_ request: HookStoreRequest, for call: GatewayHookCall) { queue(request, for: call, nil) }

    fileprivate func cached(_ question: StoreQuestion) -> StoreAnswer {
        let request = question.request.request
        let answer = cache.perform(request, of: question.tenant, now: wallSeconds, within: cacheBytes)
        switch (request.kind, answer) {
        case (.get, .entry): worker.metrics.add(.cacheHits)
        case (.get, _): worker.metrics.add(.cacheMisses)
        case (.put, _): worker.metrics.add(.cachePuts)
        default: break
        }
        return answer
    }

    fileprivate func tidyCache(_ metrics: Metrics) {
        cache.shrink(to: cacheBytes)
        metrics.set(.cacheEvicted, cache.evicted)
        metrics.set(.cacheEntries, cache.entries)
        metrics.set(.cacheBytes, cache.bytes)
    }
}

private final class SweepTimer: Timer {
    weak var stores: WorkerStores?
    override func fire() { stores?.sweep() }
}

private struct WeakClient {
    weak var client: RedisClient?
}

extension RedisSettings {
    init(_ place: RedisPlace, _ configuration: Configuration, _ files: FileBundle) throws(GenerationError) {
        self.init(host: place.host, port: place.port)
        path = place.path
        database = place.database
        user = place.user
        timeout = UInt64(place.timeout)
        if let secret = place.password.map({ configuration.secrets[$0] }) {
            guard let bytes = files.files[secret.bundlePath] else {
                throw GenerationError(description: "secret \"\(secret.name)\" is not in the configuration's bundle")
            }
            password = String(decoding: bytes, as: UTF8.self)
        }
        guard place.isSecure else { return }
        var options = ClientOptions()
        options.alpn = []
        if let authorities = place.authorities {
            options.trustedCertificates = files.files[authorities.path]
            options.trustedName = authorities.path
        }
        tls = options
    }
}

/// Where namespaces without a path are.
enum StateFolder {
    static func make(for namespace: String) throws(SystemError) -> String {
        let root = root()
        try RuntimeFolder.make(root)
        try RuntimeFolder.make("\(root)/kv")
        return "\(root)/kv/\(namespace)"
    }

    private static func root() -> String {
        // systemd names several with `:` between.
        if let given = ProcessSetup.environment("STATE_DIRECTORY")?.split(separator: ":").first { return String(given) }
        if RuntimeFolder.user == 0 { return "/var/lib/sluice" }
        if let given = ProcessSetup.environment("XDG_STATE_HOME"), given.hasPrefix("/") { return "\(given)/sluice" }
        let home = ProcessSetup.environment("HOME") ?? ""
        for folder in ["\(home)/.local", "\(home)/.local/state"] { try? RuntimeFolder.make(folder) }
        return "\(home)/.local/state/sluice"
    }
}
