import Buffers
import HTTP
import Reactor
import Telemetry
import Testing
@testable import Upstream

/// An exchange that remembers what happened to it.
final class TestExchange: ForwardedExchange {
    var events: [String] = []
    var received: [UInt8] = []
    var receivedCount = 0
    var failure: GatewayError?
    var interimStatuses: [Int] = []
    var takesBody = true
    /// The largest number of response bytes that ever waited.
    var mostWaiting = 0
    var keepsBytes = true
    var onWantsBody: (TestExchange) -> Void = { _ in }
    var onResponse: (TestExchange) -> Void = { _ in }
    var onBody: (TestExchange) -> Void = { _ in }

    override func originResponded() {
        events.append("responded \(response.status)")
        onResponse(self)
    }

    override func originInterim() { interimStatuses.append(response.status) }

    override func originBodyArrived() {
        mostWaiting = max(mostWaiting, responseBody.byteCount)
        if takesBody { take() }
        onBody(self)
        if responseBodyEnded { events.append("ended") }
    }

    func take() {
        receivedCount += responseBody.byteCount
        while let slice = responseBody.popFirst() {
            if keepsBytes { received.append(contentsOf: slice.bytes.array()) }
        }
        originStream?.responseBodyDrained()
    }

    override func originWantsBody() { onWantsBody(self) }

    override func originFailed(_ error: GatewayError) {
        events.append("failed \(error.kind.name)")
        failure = error
    }

    override func originUpgraded() { events.append("upgraded") }

    var isOver: Bool { failure != nil || responseBodyEnded && responseBody.isEmpty }
    var text: String { String(decoding: received, as: UTF8.self) }

    /// Makes it the next request; a response body of its own is taken as it comes.
    func prepare(_ method: String, _ path: String, host: String = "origin.test") {
        reset()
        events = []
        received = []
        receivedCount = 0
        failure = nil
        interimStatuses = []
        mostWaiting = 0
        request.setMethod(Array(method.utf8).span)
        request.setPath(Array(path.utf8).span)
        request.authority = request.arena.append(host)
        requestBodyEnded = true
    }

    func setBody(_ bytes: [UInt8], length: BodyLength? = nil, ended: Bool = true, pool: SlabPool) {
        requestBody.append(copying: bytes.span, from: pool)
        requestBodyEnded = ended
        request.body = length ?? .known(bytes.count)
    }
}

/// A reactor with origins and an upstream set under test.
final class World {
    let reactor: Reactor
    let pool = SlabPool()
    /// The origins' memory is not what is tested.
    let originPool = SlabPool()
    let metrics = Metrics()
    private(set) var set: UpstreamSet?
    private var origins: [TestOrigin] = []
    private var resolver: Resolver?
    private let channelsBefore: Int

    init(resolver: Bool = false) throws {
        reactor = try Reactor()
        if resolver { self.resolver = try Resolver(reactor: reactor) }
        channelsBefore = reactor.channelCount
    }

    func origin(address: String = "127.0.0.1", port: UInt16 = 0, tls: TLSContext? = nil) throws -> TestOrigin {
        let origin = try TestOrigin(reactor, pool: originPool, address: address, port: port, tls: tls?.server)
        origins.append(origin)
        return origin
    }

    /// Makes the set under test: one upstream of the given servers.
    func serve(_ servers: [UpstreamSettings.Server], _ adjust: (inout UpstreamSettings) -> Void = { _ in }) throws {
        set = try makeSet(servers, adjust)
    }

    func serve(_ origins: TestOrigin..., adjust: (inout UpstreamSettings) -> Void = { _ in }) throws {
        try serve(origins.map { plain($0) }, adjust)
    }

    /// - Parameter board: shared with other sets, as between workers.
    func makeSet(
        _ servers: [UpstreamSettings.Server], board: HealthBoard? = nil, _ adjust: (inout UpstreamSettings) -> Void = { _ in }
    ) throws -> UpstreamSet {
        var settings = UpstreamSettings(name: "test", servers: servers)
        adjust(&settings)
        return try UpstreamSet(settings: [settings], reactor: reactor, pool: pool, metrics: metrics, resolver: resolver, board: board)
    }

    func plain(_ origin: TestOrigin, host: String = "127.0.0.1") -> UpstreamSettings.Server {
        UpstreamSettings.Server(secure: false, host: host, port: origin.port)
    }

    /// Starts an exchange. Its body, if any, is set by `body` before.
    @discardableResult
    func start(
        _ method: String = "GET", _ path: String = "/", in exchange: TestExchange = TestExchange(),
        _ adjust: (TestExchange) -> Void = { _ in }
    ) throws -> TestExchange {
        exchange.prepare(method, path)
        adjust(exchange)
        try #require(set).open(exchange, upstream: 0)
        #expect(exchange.events.isEmpty, "nothing happens inside open")
        return exchange
    }

    /// Runs an exchange to its end.
    @discardableResult
    func run(
        _ method: String = "GET", _ path: String = "/", in exchange: TestExchange = TestExchange(),
        _ adjust: (TestExchange) -> Void = { _ in }
    ) throws -> TestExchange {
        try start(method, path, in: exchange, adjust)
        try turn("\(method) \(path) ends") { exchange.isOver }
        return exchange
    }

    /// Turns the loop until `done`. Waits for events; a bound only keeps a broken test from hanging.
    func turn(_ what: Comment, until done: () -> Bool) throws {
        let limit = reactor.preciseNow + 10_000_000_000
        while !done(), reactor.preciseNow < limit { reactor.turn(maximumWait: 20) }
        try #require(done(), what)
    }

    /// Turns until events that are already on their way have been seen.
    func settle() { for _ in 0..<5 { reactor.turn(maximumWait: 0) } }

    /// Ends everything and proves that nothing is left behind.
    func end(sourceLocation: SourceLocation = #_sourceLocation) throws {
        set?.retire()
        settle()
        #expect((set?.connectionCount ?? 0) == 0, "every connection is closed", sourceLocation: sourceLocation)
        for origin in origins { origin.stop() }
        settle()
        #expect(metrics[.upstreamConnectionsActive] == 0, sourceLocation: sourceLocation)
        #expect(metrics[.upstreamConnectionsIdle] == 0, sourceLocation: sourceLocation)
        #expect(metrics[.bugs] == 0, sourceLocation: sourceLocation)
        #expect(pool.slabs.live == 0, "all slabs are back", sourceLocation: sourceLocation)
        #expect(pool.copied.body == 0, "no body byte was copied", sourceLocation: sourceLocation)
        #expect(reactor.channelCount == channelsBefore, "no descriptor is watched", sourceLocation: sourceLocation)
    }
}

/// `count` bytes in which every position can be told from its neighbours.
func pattern(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    for index in 0..<count { bytes.append(UInt8(truncatingIfNeeded: index &* 31 &+ index >> 8)) }
    return bytes
}

/// Equality of large bodies whose difference nobody wants to read.
func same(_ left: [UInt8], _ right: [UInt8]) -> Bool { left == right }
