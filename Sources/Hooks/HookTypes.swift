import Buffers
public import HTTP

/// Which handler of a function runs. The numbers are those of `phases` in the prelude.
public enum HookPhase: Int32, Sendable, CaseIterable {
    /// `onRequest` (or `firewall`): before the origin is called.
    case request
    /// `onResponse`: a response head is there.
    case response
    /// `onError`: the origin or a hook failed.
    case error
    /// `fetch`: the whole exchange; the function calls the origin itself.
    case fetch
    /// `scheduled`: nobody asked, it is time.
    case scheduled
    /// `onWebSocketMessage`: a message of a WebSocket that passes.
    case webSocket = 5

    /// The name of the export, as messages say it.
    public var handlerName: StaticString {
        switch self {
        case .request: "onRequest"
        case .response: "onResponse"
        case .error: "onError"
        case .fetch: "fetch"
        case .webSocket: "onWebSocketMessage"
        case .scheduled: "scheduled"
        }
    }
}

/// What a function may use. A limit that is reached ends in the rule's `on_error` policy.
public struct HookLimits: Sendable, Equatable {
    /// CPU time of one call, all its turns together, in microseconds.
    public var cpuMicroseconds: UInt64 = 50_000
    /// Time from the start of a call to its result, in milliseconds. Waiting for the origin in `fetch` does not count.
    public var wallMilliseconds: UInt64 = 10_000
    /// V8 heap of the function's isolate on one worker, in bytes.
    public var memoryBytes = 64 << 20
    /// All ArrayBuffers of the isolate together, in bytes.
    public var externalBytes = 16 << 20
    /// Sub-requests of one call.
    public var subrequests = 50
    /// Console text of one call, in bytes.
    public var logBytes = 16 << 10
    /// How long `waitUntil` work may go on after the result, in milliseconds.
    public var tailMilliseconds: UInt64 = 30_000
    /// Processor time of what one call has done beside the requests: keys made and passwords stretched, in milliseconds.
    public var cryptoMilliseconds: UInt64 = 5_000
    /// Timers of one call that wait at the same time.
    public var timers = 1_000

    public init() {}
}

/// A function as the configuration names it.
public struct HookSource: Sendable {
    public var name: String
    /// Key of the main module in `modules`; appears in error messages.
    public var main: String
    /// Module and JSON sources by path; imports are resolved inside this table only.
    public var modules: [String: String]
    public var limits = HookLimits()
    /// Names of upstreams granted as `env.NAME`. A sub-request carries the index.
    public var upstreams: [String] = []
    /// Whose work takes turns with that of others (`WorkLine`).
    public var tenant = ""
    /// Plain text granted as `env.NAME`.
    public var variables: [String: String] = [:]
    /// What calls of the function share.
    public var isolation = Isolation.worker
    /// Text granted as `env.NAME` that no log line and no message may show.
    public var secrets: [String: String] = [:]
    /// Keys granted as `env.NAME` that give their bytes away to nobody: JSON as `realm.boundKey` takes it.
    public var keys: [String: String] = [:]
    /// Some hosts outside may be asked by `fetch(url)`; the host decides which.
    public var reachesOutside = false
    /// Key-value namespaces granted as `env.NAME`. A request carries the index.
    public var stores: [HookStoreGrant] = []
    /// Named lists that `Azion.networkList.contains` may be asked about.
    public var lists: [String: HookList] = [:]
    /// It may compile and run WebAssembly, in a process that has it; its memories together have `limits.memoryBytes` once more.
    public var webAssembly = false
    /// Files of WebAssembly that its modules import, by path.
    public var binaries: [String: [UInt8]] = [:]
    /// Behaviours that are newer than the function's compatibility date, by name.
    public var heldBack: [String] = []
    /// Of a stranger: the clock stands still while it runs.
    public var untrusted = false

    public enum Isolation: Sendable {
        /// One world for all calls of the function on a worker: what a module keeps in variables stays.
        case worker
        /// A world for each call, in which nobody was before.
        case request
    }

    public init(name: String, main: String, modules: [String: String]) {
        self.name = name
        self.main = main
        self.modules = modules
    }

    func mayAsk(_ upstream: Int) -> Bool { upstreams.indices.contains(upstream) || upstream == HookSubrequest.outside && reachesOutside }

    /// Text that a script wrote, fit for a log: a secret's value is its name there. Short values are words that any
    /// text may have; hiding them would tell where they are.
    func hidingSecrets(in text: String) -> String {
        var text = text
        for (name, value) in secrets where value.utf8.count >= 6 { text = text.replacing(value, with: "[secret \(name)]") }
        return text
    }
}

/// The place in a rule file that runs a function.
public struct HookRule: Sendable {
    public var name: String
    public var file: String
    public var line: Int
    /// Text as JSON, for `arguments`.
    public static func quoted(_ text: String) -> String { jsonText(text) }

    /// The rule's `args:` as JSON text; becomes `ctx.args`, frozen.
    public var arguments: String

    public init(name: String, file: String, line: Int, arguments: String = "{}") {
        self.name = name
        self.file = file
        self.line = line
        self.arguments = arguments
    }
}

/// A rule's use of a function, prepared once at load: `HookFunction.bind`.
public struct HookBinding: Sendable {
    let index: Int32
}

/// The body that goes on with a result.
public enum HookBody: Equatable {
    /// As it is in the exchange: not read, or read and to be sent as it was.
    case unchanged
    case none
    case bytes([UInt8])
    /// The hook makes it from now on (`HookCall.bodyRoom`); `length` in bytes when it is known.
    case stream(length: Int?)
    /// The hook ends the client's WebSocket itself (`HookCall.takeSocketActions`).
    case socket
}

/// How a call ended. The exchange's heads are already as the hook wants them.
public enum HookOutcome {
    /// Go on. `body` is the request's body (request phase) or the response's (response phase).
    case proceed(HookBody)
    /// Answer with `exchange.response`. `unchanged` is the origin's body.
    case respond(HookBody)
    /// Answer with this status and the gateway's own text.
    case deny(status: Int)
    /// Nothing was changed; the rule's `on_error` decides. Apart, because a failure is large and every result is handed on several times.
    indirect case failed(HookFailure)
}

/// Why a call failed: for the log, the metrics and the policy.
public struct HookFailure: Error, Sendable, CustomStringConvertible {
    public enum Kind: Int, Sendable, CaseIterable {
        /// Thrown or rejected.
        case error
        /// A return value the phase cannot use, or a head the host refuses.
        case badReturn
        /// `fetch` did not catch that the origin failed; `exchange.error` has the cause.
        case origin
        case subrequests, cpu, wall, memory
        /// The function's isolate cannot be made, or was lost too often lately.
        case unavailable
    }

    public var kind: Kind
    public var function: String
    /// Name of the rule that ran the function.
    public var rule: String
    public var message: String
    /// Position in the function's source; the main module with line 0 when unknown.
    public var file = ""
    public var line = 0
    public var column = 0
    /// The hook called `passThroughOnException`: treat as `on_error: continue`.
    public var passThrough = false
    /// V8 heap and ArrayBuffers of the function's isolate at that moment; 0 when unknown.
    public var memoryBytes: UInt64 = 0
    /// CPU time the call had used.
    public var cpuNanoseconds: UInt64 = 0
    /// file:line of the rule that ran it.
    public var rulePlace = ""

    public init(_ kind: Kind, function: String, rule: String = "", message: String) {
        self.kind = kind
        self.function = function
        self.rule = rule
        self.message = message
    }

    init(_ kind: Kind, _ call: HookCall, _ message: String) {
        self.init(kind, function: call.function?.name ?? "", rule: call.function?.rule(call.binding)?.name ?? "",
            message: call.function?.source.hidingSecrets(in: message) ?? message)
        file = call.function?.source.main ?? ""
        passThrough = call.progress.passThrough
        memoryBytes = call.function?.memoryInUse ?? 0
    }

    /// `hooks/a.js:3:7`, or the file alone.
    public var place: String { line > 0 ? "\(file):\(line):\(column)" : file }

    /// The kind as rules, logs and `Proxy-Status` use it.
    public var errorKind: ErrorKind {
        switch kind {
        case .cpu: .hookCPU
        case .wall: .hookWall
        case .memory: .hookMemory
        case .error, .badReturn, .origin, .subrequests, .unavailable: .hookError
        }
    }

    /// `hooks/a.js:3:7: TypeError: ... (function a, rule "check")`
    public var description: String {
        let place = file.isEmpty ? "" : line > 0 ? "\(file):\(line):\(column): " : "\(file): "
        return "\(place)\(message) (function \(function)\(rule.isEmpty ? "" : ", rule \"\(rule)\""))"
    }
}

/// A request of a hook to an upstream that its function was granted.
public final class HookSubrequest {
    /// Names the request to `subrequestFinished`; unique within the call.
    public let id: Int32
    /// Index into `HookSource.upstreams`; `HookSubrequest.outside`: the URL's own server, `head.scheme` tells how.
    public let upstream: Int
    public static let outside = -1
    /// Method, authority, path, query and fields. The authority is what the URL named; `body` is set.
    public var head = Head()
    public var body: [UInt8] = []
    /// The hook makes the body while the request is under way, instead of `body`; `head.body` has its length where it is known.
    public internal(set) var flows = false
    /// Bytes that were made and not taken.
    var output = Chain()
    /// Bytes that the hook may make, and whether it has made them.
    var room = 0
    var isFull = false
    /// Of a cordon: bytes that are still to come of a body whose length was announced; negative for one without.
    var left = -1
    /// It asks for a WebSocket: a 101 is answered with `HookCall.subrequestUpgraded`.
    public var upgrades = false

    init(id: Int32, upstream: Int) {
        self.id = id
        self.upstream = upstream
    }
}

/// Why a function could not be loaded.
public struct HookLoadError: Error, Sendable, CustomStringConvertible {
    public var function: String
    public var message: String
    public var file: String
    public var line: Int
    public var column: Int
    public var sourceLine: String

    public var description: String {
        let place = line > 0 ? "\(file):\(line):\(column)" : file
        return "\(place): \(message) (function \(function))"
    }
}

/// What one function did on this worker. Counts, and microseconds of JavaScript.
public struct HookCounters: Sendable {
    public var calls: UInt64 = 0
    public var asynchronousCalls: UInt64 = 0
    public var subrequests: UInt64 = 0
    public var storeRequests: UInt64 = 0
    public var bodiesRead: UInt64 = 0
    /// Bytes of bodies that entered JavaScript chunk by chunk, and that it made.
    public var bodyBytesRead: UInt64 = 0
    public var bodyBytesWritten: UInt64 = 0
    public var javaScriptNanoseconds: UInt64 = 0
    public var isolatesMade: UInt64 = 0
    public var worldsMade: UInt64 = 0
    /// Modules whose bytecode was at hand, and those whose bytecode V8 did not take.
    public var cachesUsed: UInt64 = 0
    public var cachesRefused: UInt64 = 0
    public var logBytesDropped: UInt64 = 0
    /// Fields that a hook wanted to set and that belong to the gateway.
    public var fieldsRefused: UInt64 = 0
    private var failures = InlineArray<8, UInt64>(repeating: 0)

    public init() {}

    public func failures(_ kind: HookFailure.Kind) -> UInt64 { failures[kind.rawValue] }
    mutating func countFailure(_ kind: HookFailure.Kind) { failures[kind.rawValue] += 1 }
}
