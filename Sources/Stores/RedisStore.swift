public import KeyValue

/// A namespace in Redis, shared by every gateway that names the same Redis and prefix.
///
/// An entry is a hash with the fields `v` (value) and `m` (metadata) and Redis' own end of life. A sorted set knows the
/// names in order, so that lists are what they are on disk; a name whose entry has ended leaves it when a list meets it.
public final class RedisStore {
    /// Pages of names looked at for one page of entries.
    private static let rounds = 20

    public let client: RedisClient
    private let prefix: [UInt8]
    private let index: [UInt8]

    /// - Parameter prefix: what keys in Redis begin with.
    public init(_ client: RedisClient, prefix: String) {
        self.client = client
        self.prefix = Array("\(prefix)e:".utf8)
        index = Array("\(prefix)names".utf8)
    }

    /// - Parameter now: seconds since 1970.
    public func perform(_ request: StoreRequest, now: UInt64, _ answer: @escaping (StoreAnswer) -> Void) {
        switch request.kind {
        case .get: get(request, now, answer)
        case .put: write(put(request, now), answer)
        case .delete: write([RESPCommand("DEL", key(request.key)), RESPCommand("ZREM", index, request.key)], answer)
        case .list: list(request, now, StorePage(), request.after, 0, answer)
        }
    }

    private func key(_ name: [UInt8]) -> [UInt8] { prefix + name }

    private func get(_ request: StoreRequest, _ now: UInt64, _ answer: @escaping (StoreAnswer) -> Void) {
        client.ask([RESPCommand("HMGET", key(request.key), [118], [109])]) { result in
            answer(Self.answer(result) { values in
                guard case .list(let fields?)? = values.first, fields.count == 2, case .bytes(let value) = fields[0], case .bytes(let metadata) = fields[1]
                else { return nil }
                return value.map { .entry(StoredEntry(value: $0, metadata: metadata ?? [])) } ?? .missing
            })
        }
    }

    private func put(_ request: StoreRequest, _ now: UInt64) -> [RESPCommand] {
        let key = key(request.key)
        var set = RESPCommand("HSET", key, [118], request.value)
        if !request.metadata.isEmpty { set.words += [[109], request.metadata] }
        var commands = [RESPCommand("DEL", key), set, RESPCommand("ZADD", index, [48], request.key)]
        let end = request.end(now: now)
        if end != 0 { commands.append(RESPCommand("EXPIREAT", key, Array("\(end)".utf8))) }
        return commands
    }

    /// All of it or nothing.
    private func write(_ commands: [RESPCommand], _ answer: @escaping (StoreAnswer) -> Void) {
        client.ask([RESPCommand("MULTI")] + commands + [RESPCommand("EXEC")]) { result in
            answer(Self.answer(result) { values in
                guard case .list(let done?)? = values.last, done.count == commands.count else { return nil }
                for case .error(let text) in done { return .failed(Self.failure(text)) }
                return .done
            })
        }
    }

    // MARK: Lists

    private func list(
        _ request: StoreRequest, _ now: UInt64, _ page: StorePage, _ after: [UInt8], _ round: Int, _ answer: @escaping (StoreAnswer) -> Void
    ) {
        let first = request.key.isEmpty && after.isEmpty ? [45]
            : after.isEmpty || after.lexicographicallyPrecedes(request.key) ? [91] + request.key : [40] + after
        let command = RESPCommand(
            "ZRANGEBYLEX", index, first, Self.end(of: request.key), Array("LIMIT".utf8), [48], Array("\(request.limit + 1)".utf8))
        client.ask([command]) { result in
            guard case .success(let values) = result, case .list(let names?)? = values.first else {
                return answer(Self.answer(result) { _ in nil })
            }
            let found = names.compactMap(\.content)
            self.look(request, now, page, found, round, answer)
        }
    }

    /// The first text in order behind all those that begin with `prefix`.
    private static func end(of prefix: [UInt8]) -> [UInt8] {
        var end = prefix
        while let last = end.last {
            if last < 255 {
                end[end.count - 1] = last + 1
                return [40] + end
            }
            end.removeLast()
        }
        return [43]
    }

    private func look(
        _ request: StoreRequest, _ now: UInt64, _ page: StorePage, _ names: [[UInt8]], _ round: Int, _ answer: @escaping (StoreAnswer) -> Void
    ) {
        guard !names.isEmpty else { return answer(.page(page)) }
        let commands = names.flatMap { [RESPCommand("HGET", key($0), [109]), RESPCommand("PTTL", key($0))] }
        client.ask(commands) { result in
            guard case .success(let values) = result, values.count == commands.count else { return answer(Self.answer(result) { _ in nil }) }
            var page = page
            var gone: [[UInt8]] = []
            for (number, name) in names.enumerated() {
                guard case .bytes(let metadata) = values[2 * number], case .number(let left) = values[2 * number + 1] else {
                    return answer(Self.answer(.success([values[2 * number]])) { _ in nil })
                }
                if left == -2 {
                    gone.append(name)
                } else if page.names.count < request.limit {
                    let end = left < 0 ? 0 : now &+ UInt64(left / 1_000 + (left % 1_000 == 0 ? 0 : 1))
                    page.names.append(StorePage.Name(name: name, metadata: metadata ?? [], expiration: end))
                } else {
                    page.next = page.names.last?.name
                    break
                }
            }
            if !gone.isEmpty { self.client.ask([RESPCommand([Array("ZREM".utf8), self.index] + gone)]) { _ in } }
            let more = names.count > request.limit && page.next == nil
            guard more, let last = names.last else { return answer(.page(page)) }
            guard round < Self.rounds else {
                page.next = last
                return answer(.page(page))
            }
            self.list(request, now, page, last, round + 1, answer)
        }
    }

    // MARK: What Redis says

    private static func answer(_ result: Result<[RESPValue], StoreFailure>, _ read: ([RESPValue]) -> StoreAnswer?) -> StoreAnswer {
        switch result {
        case .failure(let failure): return .failed(failure)
        case .success(let values):
            for case .error(let text) in values { return .failed(failure(text)) }
            return read(values) ?? .failed(StoreFailure(.broken, "Redis answered something else than was asked"))
        }
    }

    private static func failure(_ text: String) -> StoreFailure {
        let words = String(text.prefix(200))
        let code = text.prefix { $0 != " " }
        switch code {
        case "OOM": return StoreFailure(.full, "Redis is out of memory")
        case "LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN": return StoreFailure(.unreachable, "Redis is not ready: \(words)")
        default: return StoreFailure(.refused, "Redis refuses: \(words)")
        }
    }
}
