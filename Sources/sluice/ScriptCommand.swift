import ArgumentParser
import Buffers
import Glibc
import HTTP
import Hooks
import Isolates
import Reactor
import Rules

/// Runs the `onRequest` handler of a module outside of a gateway. Its console is the standard output.
///
/// For `scripts/wpt`: what the Web Platform Tests say of the hook API is what they say of the isolates that serve.
struct ScriptCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "script", abstract: "Run the onRequest handler of a module, without a gateway.", shouldDisplay: false)

    @Argument(help: "The module.")
    var module: String

    @Option(name: .customLong("text"), help: "NAME=FILE: the file's text becomes env.NAME. May be repeated.")
    var texts: [String] = []

    @Option(help: "Seconds after which it is stopped.")
    var seconds: UInt64 = 60

    @Flag(help: "Let the module evaluate text as code.")
    var evaluate = false

    func run() throws {
        if evaluate { V8Engine.allowEvaluation() }
        var source = HookSource(name: "script", main: module, modules: [module: try text(of: module)])
        for pair in texts {
            guard let mark = pair.firstIndex(of: "=") else { throw ValidationError("--text is NAME=FILE") }
            source.variables[String(pair[..<mark])] = try text(of: String(pair[pair.index(after: mark)...]))
        }
        source.limits.cpuMicroseconds = seconds * 1_000_000
        source.limits.wallMilliseconds = seconds * 1_000
        source.limits.cryptoMilliseconds = seconds * 1_000
        source.limits.logBytes = 64 << 20
        source.limits.memoryBytes = 256 << 20
        source.limits.externalBytes = 128 << 20
        source.limits.timers = 100_000
        let runtime = HookRuntime(host: ScriptHost())
        let function = try runtime.load(source)
        let binding = try function.bind(HookRule(name: "script", file: module, line: 1))
        let exchange = Exchange(), call = ScriptCall()
        exchange.request.setMethod(Span("GET"))
        exchange.request.scheme = .http
        exchange.request.authority = exchange.request.arena.append("web-platform.test")
        exchange.request.setPath(Span("/"))
        if case .finished(let outcome) = runtime.start(call, function, binding, .request, exchange) { call.finished(outcome) }
        wait(for: call, runtime)
        guard call.isDone, call.failure == nil else {
            StandardError.print("script: \(call.failure ?? "no result within \(seconds) s")")
            throw ExitCode.failure
        }
    }

    private func text(of path: String) throws -> String {
        do throws(FileFailure) {
            return String(decoding: try DiskFiles().read(path, limit: 64 << 20), as: UTF8.self)
        } catch {
            throw ValidationError("\(path): \(error)")
        }
    }

    /// Lets timers fire until the handler is done.
    private func wait(for call: ScriptCall, _ runtime: HookRuntime) {
        let end = runtime.host.now + seconds * 1_000_000_000
        while !call.isDone, runtime.host.now < end {
            guard let next = runtime.nextDeadline else { return }
            let now = runtime.host.now
            if next > now { usleep(UInt32(clamping: min((next - now) / 1_000, 50_000))) }
            runtime.fireTimers(runtime.host.now)
        }
    }
}

private final class ScriptHost: HookHost {
    override var now: UInt64 { SystemClock.monotonicNanoseconds() }
    override func log(_ level: Int, function: HookFunction, call: Hooks.HookCall?, text: String) { print(text) }
}

private final class ScriptCall: Hooks.HookCall {
    var isDone = false
    var failure: String?

    override func finished(_ outcome: HookOutcome) {
        isDone = true
        if case .failed(let why) = outcome { failure = "\(why)" }
    }
}
