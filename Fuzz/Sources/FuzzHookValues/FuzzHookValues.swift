import Buffers
import HTTP
import Hooks
import Support

/// The first byte says what a hook does with the others: everything native that bytes of a stranger reach through JavaScript.
/// V8 itself is a library and not watched; what stands between is.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 2, count < 1 << 16 else { return 0 }
    Bench.shared.run(input(start, count))
    return 0
}

/// One function for all inputs: it keeps nothing between them.
private final class Bench {
    // libFuzzer calls from one thread.
    nonisolated(unsafe) static let shared = Bench()

    let runtime = HookRuntime(host: HookHost())
    let function: HookFunction
    let binding: HookBinding
    let call = Call()
    let exchange = Exchange()

    init() {
        var source = HookSource(name: "f", main: "f.js", modules: ["f.js": script])
        source.limits.cpuMicroseconds = 8_000_000
        source.limits.memoryBytes = 256 << 20
        source.limits.externalBytes = 256 << 20
        do {
            function = try runtime.load(source)
            binding = try function.bind(HookRule(name: "r", file: "r.yaml", line: 1))
        } catch {
            fatalError("the hook does not load: \(error)")
        }
    }

    func run(_ bytes: [UInt8]) {
        exchange.reset()
        exchange.request.setMethod(Span("POST"))
        exchange.request.authority = exchange.request.arena.append("a.example")
        exchange.request.setPath(Span("/"))
        exchange.request.body = .known(bytes.count)
        call.bytes = bytes
        call.outcome = nil
        let outcome: HookOutcome?
        switch runtime.start(call, function, binding, .request, exchange) {
        case .finished(let now): outcome = now
        case .pending: outcome = call.outcome
        }
        switch outcome {
        case nil: fatalError("the hook waits for something")
        case .failed(let failure)?: fatalError("the hook failed: \(failure)")
        default: require(call.isIdle, "the call is not over")
        }
    }
}

private final class Call: HookCall {
    var bytes: [UInt8] = []
    var outcome: HookOutcome?

    override func finished(_ outcome: HookOutcome) { self.outcome = outcome }
    override func readBody(_ side: HookSide) { bodyArrived(side, bytes) }
}
