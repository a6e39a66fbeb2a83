import HTTP
import Reactor
import Rules
import Telemetry

/// Counts by site, function, upstream and server for one generation: in plain memory, added now and then to the entries in
/// shared memory that are kept by name, so that they outlive generations and workers.
final class SeriesCounters {
    private struct Place {
        let kind: SeriesKind
        let name: String
        /// nil until it is first counted, -1 when there is no room for it.
        var slot: Int32?
    }

    private let shared: SharedRegion
    private var places: [Place] = []
    /// All that changes with every request, in one structure: a count is one access to this object.
    private var pending: PendingCounts
    private let functions: Int
    private let upstreams: Int
    /// Index of the first server of each upstream.
    private var servers: [Int] = []

    init(_ configuration: Configuration, shared: SharedRegion) {
        self.shared = shared
        for site in configuration.sites { places.append(Place(kind: .site, name: site.name)) }
        functions = places.count
        for function in configuration.functions { places.append(Place(kind: .function, name: function.name)) }
        upstreams = places.count
        for upstream in configuration.upstreams { places.append(Place(kind: .upstream, name: upstream.name)) }
        for upstream in configuration.upstreams {
            servers.append(places.count)
            for server in upstream.servers { places.append(Place(kind: .server, name: "\(upstream.name) \(SeriesCounters.label(server))")) }
        }
        servers.append(places.count)
        pending = PendingCounts(places: places.count, words: SeriesCount.wordCount)
    }

    deinit { flush() }

    private static func label(_ server: Server) -> String {
        server.host.contains(":") ? "[\(server.host)]:\(server.port)" : "\(server.host):\(server.port)"
    }

    // MARK: Counting

    /// An exchange of a site is over.
    func countSite(_ site: Int, status: Int, bytesIn: Int, bytesOut: Int, microseconds: UInt64, error: GatewayError?) {
        guard site >= 0, site < functions else { return }
        pending.change(site) { words, base in
            words[base + SeriesCount.status(status).rawValue] &+= 1
            words[base + SeriesCount.bytesIn.rawValue] &+= UInt64(bytesIn)
            words[base + SeriesCount.bytesOut.rawValue] &+= UInt64(bytesOut)
            SeriesCounters.observe(&words, base, microseconds)
            guard let error else { return }
            let side: SeriesCount =
                switch error.kind.side {
                case .client: .errorsClient
                case .origin: .errorsOrigin
                case .gateway: .errorsGateway
                }
            words[base + side.rawValue] &+= 1
        }
    }

    /// An exchange that went to an origin is over.
    func countOrigin(_ origin: OriginInfo) {
        guard origin.upstream >= 0, origin.upstream + 1 < servers.count else { return }
        let waited = origin.firstByte > origin.requestSent ? (origin.firstByte - origin.requestSent) / 1000 : 0
        let status = SeriesCount.status(origin.called ? origin.status : 0).rawValue
        pending.change(upstreams + origin.upstream) { words, base in
            words[base + status] &+= 1
            if origin.attempts > 1 { words[base + SeriesCount.retries.rawValue] &+= UInt64(origin.attempts - 1) }
            if origin.called { SeriesCounters.observe(&words, base, waited) }
        }
        let server = servers[origin.upstream] + origin.server
        guard origin.server >= 0, server < servers[origin.upstream + 1] else { return }
        pending.change(server) { words, base in
            words[base + status] &+= 1
            if origin.called { SeriesCounters.observe(&words, base, waited) }
        }
    }

    /// A hook call is over.
    func countCall(function: Int, microseconds: UInt64, failed: Bool) {
        guard function >= 0, functions + function < upstreams else { return }
        pending.change(functions + function) { words, base in
            words[base + SeriesCount.calls.rawValue] &+= 1
            words[base + SeriesCount.cpuMicroseconds.rawValue] &+= microseconds
            SeriesCounters.observe(&words, base, microseconds)
            if failed { words[base + SeriesCount.failures.rawValue] &+= 1 }
        }
    }

    /// A failed call was answered by policy.
    func countPolicy(function: Int) {
        guard function >= 0, functions + function < upstreams else { return }
        pending.change(functions + function) { words, base in words[base + SeriesCount.policies.rawValue] &+= 1 }
    }

    @inline(__always)
    private static func observe(_ words: inout [UInt64], _ base: Int, _ microseconds: UInt64) {
        words[base + SeriesCount.room + LatencyScale.bucket(microseconds)] &+= 1
        words[base + SeriesCount.durationSum] &+= microseconds
    }

    // MARK: Sharing

    func flush() {
        pending.takeAll { place, words in
            let slot = places[place].slot ?? shared.seriesSlot(kind: places[place].kind.rawValue, name: places[place].name) ?? -1
            places[place].slot = slot
            if slot >= 0 { shared.add(words, toSeries: slot) }
        }
    }
}

/// Counts by place that have not been added to shared memory, and which places have some.
struct PendingCounts {
    private let perPlace: Int
    private var words: [UInt64]
    private var isDirty: [Bool]
    private var dirty: [Int] = []

    /// - Parameter words: how many each place has.
    init(places: Int, words: Int) {
        perPlace = words
        self.words = Array(repeating: 0, count: places * words)
        isDirty = Array(repeating: false, count: places)
    }

    /// - Parameter body: gets all words and the index of the place's first one.
    @inline(__always)
    mutating func change(_ place: Int, _ body: (_ words: inout [UInt64], _ base: Int) -> Void) {
        if !isDirty[place] {
            isDirty[place] = true
            dirty.append(place)
        }
        body(&words, place * perPlace)
    }

    /// Hands over the words of each place that has some, and sets them to 0.
    mutating func takeAll(_ body: (_ place: Int, _ words: Span<UInt64>) -> Void) {
        for place in dirty {
            isDirty[place] = false
            let range = place * perPlace..<(place + 1) * perPlace
            body(place, words.span.extracting(range))
            for index in range { words[index] = 0 }
        }
        dirty.removeAll(keepingCapacity: true)
    }
}
