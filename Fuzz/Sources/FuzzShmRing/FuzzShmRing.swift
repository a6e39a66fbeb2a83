import Buffers
import HTTP
import Hooks
import Reactor
import Support

/// What a cordon that was taken over may write: the worker's end takes messages whose lengths and bytes are the input's
/// and must neither trap nor let anything into an exchange that HTTP does not allow.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = input(start, count)
    guard let first = bytes.first else { return 0 }
    let bench = Bench(phase: HookPhase(rawValue: Int32(first & 3)) ?? .request)
    var at = 1
    while at + 2 <= bytes.count {
        let length = Int(bytes[at]) | Int(bytes[at + 1] & 15) << 8
        let message = Array(bytes[(at + 2)...].prefix(length))
        at += 2 + length
        // A breach costs the cordon its life; what it said before has been done.
        do { try bench.worker.receive(message.span) } catch { break }
        bench.requireCleanExchange()
        require(bench.call.results <= 1, "a call ended twice")
    }
    _ = bench.worker.disconnect(running: 1) { bench.worker.failure(.unavailable, $0, "gone") }
    require(bench.call.results <= 1, "a call ended twice")
    bench.worker.unload(bench.function)
    return 0
}

private final class Bench {
    let worker = RemoteHooks()
    let exchange = Exchange()
    let call = Call()
    let function: RemoteFunction

    init(phase: HookPhase) {
        var source = HookSource(name: "f", main: "f.js", modules: ["f.js": ""])
        source.upstreams = ["up"]
        function = worker.load(source)
        let binding = function.bind(HookRule(name: "r", file: "r.yaml", line: 1))
        exchange.request.setMethod(Span("GET"))
        exchange.request.setPath(Span("/a"))
        exchange.request.add(.host, "example.com")
        exchange.request.add(.contentLength, "3")
        exchange.response.status = 200
        worker.slabs = (try? SharedRing())?.sharedSlabs()
        worker.connect()
        worker.start(call, function, binding, phase, exchange)
    }

    func requireCleanExchange() {
        require(isClean(exchange.request) && isClean(exchange.response), "a field that HTTP does not allow")
        require(exchange.request.text(of: "content-length") ?? "3" == "3", "the framing was changed")
        require(exchange.response.status == 0 || (100...599).contains(exchange.response.status), "a status that is none")
    }

    // The head is lent, so that spans of it end with the loan.
    private func isClean(_ head: borrowing Head) -> Bool {
        for field in head.fields {
            let name = head.bytes(field.name), value = head.bytes(field.value)
            for index in 0..<name.count where name[index] <= 0x20 || name[index] >= 0x7f || name[index] == UInt8(ascii: ":") { return false }
            for index in 0..<value.count where (value[index] < 0x20 && value[index] != 9) || value[index] == 0x7f { return false }
        }
        return true
    }
}

/// A call that answers what it is asked, at once.
private final class Call: HookCall {
    var results = 0
    /// What it takes of bodies before they end.
    private var left = 20
    private let pool = SlabPool()

    override func finished(_ outcome: HookOutcome) { results += 1 }
    override func readBody(_ side: HookSide) { bodyArrived(side, [1, 2, 3]) }
    override func sendToOrigin(_ body: HookBody) { originArrived() }
    override func subrequest(_ request: HookSubrequest) {
        require(request.body.count <= 64 << 20, "a body beyond what may wait")
        if request.id & 1 == 0 { subrequestFinished(request.id, request.head, body: []) } else { subrequestAnswered(request.id, request.head) }
        if request.flows { askRoom(request.id) }
    }
    override func pullBody(_ side: HookSide) {
        repeat {
            left -= 1
            if left < 0 { bodyEnded(side) } else if let slice = oneChunk() { bodyChunk(side, slice) }
        } while takesMore(side)
    }
    override func pullAnswer(_ id: Int32) {
        left -= 1
        if left < 0 { answerEnded(id) } else if let slice = oneChunk() { answerChunk(id, slice) }
    }
    override func bodyMade(_ side: HookSide) {
        var made = Chain()
        takeOutput(side, into: &made)
        require(made.byteCount <= 64 << 20, "more than there was room for")
        bodyRoom(side)
    }
    override func askMade(_ id: Int32) {
        var made = Chain()
        takeAsk(id, into: &made)
        askRoom(id)
    }
    override func socketActed() { _ = takeSocketActions() }
    override func socketReady(_ id: Int32) { if isSocketOpen { socketMessage(HookMessage([1], isText: false, fromClient: true), on: id) } }

    private func oneChunk() -> Slice? {
        var chain = Chain()
        let bytes = [UInt8](repeating: 7, count: 5_000)
        chain.append(copying: bytes.span, from: pool)
        return chain.popFirst()
    }
}
