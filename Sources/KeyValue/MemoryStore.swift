/// A namespace that ends with the process.
public struct MemoryStore: Sendable {
    private var entries: [[UInt8]: StoredEntry] = [:]

    public init() {}

    /// - Parameter now: seconds since 1970.
    public mutating func perform(_ request: StoreRequest, now: UInt64) -> StoreAnswer {
        switch request.kind {
        case .get:
            guard let entry = entries[request.key], !entry.isOver(now) else { return .missing }
            return .entry(entry)
        case .put:
            entries[request.key] = StoredEntry(value: request.value, metadata: request.metadata, expiration: request.end(now: now))
            return .done
        case .delete:
            entries[request.key] = nil
            return .done
        case .list: return .page(page(request, now))
        }
    }

    private func page(_ request: StoreRequest, _ now: UInt64) -> StorePage {
        let found = entries.filter { name, entry in
            name.starts(with: request.key) && request.after.lexicographicallyPrecedes(name) && !entry.isOver(now)
        }.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        var page = StorePage()
        page.names = found.prefix(request.limit).map {
            StorePage.Name(name: $0.key, metadata: $0.value.metadata, expiration: $0.value.expiration)
        }
        if found.count > request.limit { page.next = page.names.last?.name }
        return page
    }

    /// Every entry that is not over.
    public func all(now: UInt64) -> [(key: [UInt8], value: [UInt8])] {
        entries.filter { !$1.isOver(now) }.map { ($0.key, $0.value.value) }
    }
}
