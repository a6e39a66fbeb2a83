/// Which work of hooks runs when. One tenant has one piece at work at a time, the tenants take turns, and what waits is
/// bounded: so nobody holds all threads, and nobody fills the line for the others. It decides; `WorkThreads` runs.
public struct WorkLine {
    /// What keys that are made and passwords that are stretched count as; an operation with a key counts as one.
    static let longWeight = 16
    /// What may wait of one tenant, and of all.
    public static let perFunction = 16 * longWeight
    public static let most = 256 * longWeight

    /// Pieces that run at the same time.
    public let threads: Int
    private var tenants: [(name: String, waiting: [HookWork])] = []
    private var running: [(name: String, work: HookWork)] = []

    public init(threads: Int) { self.threads = threads }

    public var waiting: Int { tenants.reduce(0) { $0 + $1.waiting.count } }
    private var weight: Int { tenants.reduce(0) { $0 + $1.waiting.reduce(0) { $0 + $1.weight } } }
    public var atWork: Int { running.count }

    /// False: too much waits.
    public mutating func add(_ work: HookWork) -> Bool {
        guard weight + work.weight <= Self.most else { return false }
        let name = work.function.source.tenant
        guard let index = tenants.firstIndex(where: { $0.name == name }) else {
            tenants.append((name, [work]))
            return true
        }
        guard tenants[index].waiting.reduce(work.weight, { $0 + $1.weight }) <= Self.perFunction else { return false }
        tenants[index].waiting.append(work)
        return true
    }

    /// What is to run now, if a thread is free for it.
    public mutating func next() -> HookWork? {
        guard running.count < threads,
            let index = tenants.firstIndex(where: { tenant in !running.contains { $0.name == tenant.name } })
        else { return nil }
        // Whoever had its turn stands at the end.
        var tenant = tenants.remove(at: index)
        let work = tenant.waiting.removeFirst()
        running.append((tenant.name, work))
        if !tenant.waiting.isEmpty { tenants.append(tenant) }
        return work
    }

    public mutating func ended(_ work: HookWork) { running.removeAll { $0.work === work } }

    /// False: it does not wait (any more).
    public mutating func remove(_ work: HookWork) -> Bool {
        guard let index = tenants.firstIndex(where: { $0.waiting.contains { $0 === work } }) else { return false }
        tenants[index].waiting.removeAll { $0 === work }
        if tenants[index].waiting.isEmpty { tenants.remove(at: index) }
        return true
    }
}
