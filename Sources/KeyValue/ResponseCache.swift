/// Answers that hooks keep for later (`caches`), in memory. Each tenant has a part of its own, bounded in bytes and entries; what
/// was used least recently goes first, of the tenant that holds most when all together hold too much.
public struct ResponseCache: Sendable {
    /// Bytes of one entry: a body of 1 MiB and its head.
    public static let entryBytes = 1 << 20 + 64 << 10
    public static let tenantBytes = 16 << 20
    public static let tenantEntries = 4_096
    /// What an entry takes beside its bytes, about.
    private static let overhead = 192

    private var shelves: [String: Shelf] = [:]
    public private(set) var bytes = 0
    /// Entries that had to go before they were over.
    public private(set) var evicted = 0

    public init() {}

    public var entries: Int { shelves.values.reduce(0) { $0 + $1.count } }

    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - most: bytes that all tenants may hold together.
    public mutating func perform(_ request: StoreRequest, of tenant: String, now: UInt64, within most: Int) -> StoreAnswer {
        var answer = StoreAnswer.missing
        switch request.kind {
        case .get:
            if let entry = shelves[tenant]?.use(request.key) {
                if entry.isOver(now) { remove(request.key, of: tenant) } else { answer = .entry(entry) }
            }
        case .delete: if remove(request.key, of: tenant) { answer = .done }
        case .put:
            put(request.key, StoredEntry(value: request.value, metadata: request.metadata, expiration: request.end(now: now)), of: tenant)
            answer = .done
        case .list: return .failed(StoreFailure(.refused, "a cache has no list"))
        }
        shrink(to: most)
        return answer
    }

    /// Gives up what was used least recently until all is within `most` bytes.
    public mutating func shrink(to most: Int) {
        while bytes > most, let largest = shelves.max(by: { $0.value.bytes < $1.value.bytes }), largest.value.bytes > 0 { evict(from: largest.key) }
    }

    private mutating func put(_ key: [UInt8], _ entry: StoredEntry, of tenant: String) {
        remove(key, of: tenant)
        let size = key.count + entry.value.count + entry.metadata.count + Self.overhead
        guard size <= Self.tenantBytes else { return }
        while let shelf = shelves[tenant], shelf.bytes + size > Self.tenantBytes || shelf.count >= Self.tenantEntries { evict(from: tenant) }
        shelves[tenant, default: Shelf()].add(key, entry, size)
        bytes += size
    }

    @discardableResult
    private mutating func remove(_ key: [UInt8], of tenant: String) -> Bool {
        guard let freed = shelves[tenant]?.remove(key) else { return false }
        bytes -= freed
        if shelves[tenant]?.count == 0 { shelves[tenant] = nil }
        return true
    }

    private mutating func evict(from tenant: String) {
        guard let oldest = shelves[tenant]?.leastRecent else { return }
        remove(oldest, of: tenant)
        evicted += 1
    }
}

/// The entries of one tenant, in the order in which they were used: a list through a table.
private struct Shelf: Sendable {
    private struct Place {
        var key: [UInt8]
        var entry: StoredEntry
        var size: Int
        /// Neighbours: who was used before and after it; -1 for none.
        var before = -1, after = -1
    }

    private var index: [[UInt8]: Int] = [:]
    private var places: [Place] = []
    private var free: [Int] = []
    private var first = -1, last = -1
    private(set) var bytes = 0

    var count: Int { index.count }
    var leastRecent: [UInt8]? { first < 0 ? nil : places[first].key }

    mutating func use(_ key: [UInt8]) -> StoredEntry? {
        guard let at = index[key] else { return nil }
        unlink(at)
        link(at)
        return places[at].entry
    }

    mutating func add(_ key: [UInt8], _ entry: StoredEntry, _ size: Int) {
        let place = Place(key: key, entry: entry, size: size)
        let at = free.popLast() ?? places.count
        if at == places.count { places.append(place) } else { places[at] = place }
        index[key] = at
        bytes += size
        link(at)
    }

    /// Bytes that are free now; nil when there is no such entry.
    mutating func remove(_ key: [UInt8]) -> Int? {
        guard let at = index.removeValue(forKey: key) else { return nil }
        unlink(at)
        let size = places[at].size
        places[at] = Place(key: [], entry: StoredEntry(value: []), size: 0)
        free.append(at)
        bytes -= size
        return size
    }

    private mutating func link(_ at: Int) {
        places[at].before = last
        places[at].after = -1
        if last >= 0 { places[last].after = at } else { first = at }
        last = at
    }

    private mutating func unlink(_ at: Int) {
        let (before, after) = (places[at].before, places[at].after)
        if before >= 0 { places[before].after = after } else { first = after }
        if after >= 0 { places[after].before = before } else { last = before }
    }
}
