import Buffers
import HTTP

/// What a worker says to a cordon. Part of one program's two halves: numbers may change between versions.
enum RemoteRequest: UInt8 {
    case load = 1, unload, bind, start, body, bodyFailed, originArrived, originFailed, answered, answerFailed, cancel, ping, stored
    case chunk, bodyEnd, bodyRoom
    case socketOpened, socketMessage, socketClosed, socketLeft, upgraded
    case answering, answerChunk, answerEnd, askRoom
    case chunkAt, answerChunkAt
}

/// What a cordon says to a worker. Everything behind these bytes is checked as if a client had sent it.
enum RemoteReply: UInt8 {
    case hello = 1, loaded, loadFailed, finished, released, readBody, sendToOrigin, subrequest, cancelSubrequest, log, pong, store
    case pullBody, cancelBody, bodyMade, bodyDone, bodyBroken
    case socketActed, socketReady, socketFailed
    case pullAnswer, askMade, askDone
    case worked
    case bodyMadeAt, slabBack

    /// About an exchange and its client; the rest `waitUntil` work says as well.
    var isOfExchange: Bool {
        switch self {
        case .finished, .readBody, .sendToOrigin, .pullBody, .cancelBody, .bodyMade, .bodyMadeAt, .bodyDone, .bodyBroken, .socketFailed: true
        default: false
        }
    }
}

/// How a call ended, on the wire.
enum RemoteOutcome: UInt8 { case proceed, respond, deny, failed }

/// The longest message either side takes: a body at its limit and its head.
public let remoteMessageLimit = 48 << 20

// MARK: Heads

extension WireWriter {
    mutating func head(_ head: borrowing Head) {
        byte(head.version.rawValue)
        body(head.body)
        bytes(head.bytes(head.methodName))
        byte(head.scheme.rawValue)
        bytes(head.bytes(head.authority))
        bytes(head.bytes(head.path))
        flag(head.hasQuery)
        bytes(head.bytes(head.query))
        number32(UInt32(clamping: head.status))
        bytes(head.bytes(head.reason))
        number32(UInt32(clamping: head.fields.count))
        for index in head.fields.indices {
            bytes(head.bytes(head.fields[index].name))
            bytes(head.bytes(head.fields[index].value))
        }
    }

    private mutating func body(_ length: BodyLength) {
        switch length {
        case .none: byte(0)
        case .known(let count):
            byte(1)
            number(UInt64(clamping: count))
        case .unknown: byte(2)
        case .untilClose: byte(3)
        }
    }

    mutating func body(_ body: HookBody) {
        switch body {
        case .unchanged: byte(0)
        case .none: byte(1)
        case .bytes(let content):
            byte(2)
            bytes(content.span)
        case .stream(let length):
            byte(3)
            number(length.map { UInt64(clamping: $0) } ?? .max)
        case .socket: byte(4)
        }
    }

    mutating func vars(_ table: borrowing VariableTable) {
        number32(UInt32(clamping: table.count))
        table.forEach { name, value in
            bytes(name)
            bytes(value)
        }
    }
}

extension WireReader {
    /// A head as the worker knows it: only a cordon reads these, from a worker it trusts.
    mutating func head(into head: inout Head) throws(WireError) {
        head.reset()
        head.version = HTTPVersion(rawValue: try byte()) ?? .http11
        head.body = try bodyLength()
        let method = bytes.extracting(try data())
        if method.count > 0 { head.setMethod(method) }
        head.scheme = Scheme(rawValue: try byte()) ?? .http
        head.authority = head.arena.append(bytes.extracting(try data()))
        head.path = head.arena.append(bytes.extracting(try data()))
        head.hasQuery = try flag()
        head.query = head.arena.append(bytes.extracting(try data()))
        head.status = Int(try number32())
        head.reason = head.arena.append(bytes.extracting(try data()))
        for _ in 0..<(try count(ofAtLeast: 8)) {
            let name = try data(), value = try data()
            head.add(name: bytes.extracting(name), value: bytes.extracting(value))
        }
    }

    private mutating func bodyLength() throws(WireError) -> BodyLength {
        switch try byte() {
        case 0: .none
        case 1: .known(Int(clamping: try number()))
        case 2: .unknown
        default: .untilClose
        }
    }

    mutating func body() throws(WireError) -> HookBody {
        switch try byte() {
        case 0: .unchanged
        case 1: .none
        case 2: .bytes(try array())
        case 3: .stream(length: try streamLength())
        case 4: .socket
        case let other: throw WireError("\(other) is no body")
        }
    }

    private mutating func streamLength() throws(WireError) -> Int? {
        let length = try number()
        guard length != .max else { return nil }
        guard length < 1 << 53 else { throw WireError("a body of \(length) bytes") }
        return Int(length)
    }

    /// - Parameter more: bytes beyond those of the table as it is.
    mutating func vars(into table: inout VariableTable, more: Int = remoteMessageLimit) throws(WireError) {
        var left = table.byteCount + more
        for _ in 0..<(try count(ofAtLeast: 8)) {
            let name = try data(), value = try data()
            left -= name.count + value.count
            guard left >= 0 else { throw WireError("more variables than a call may set") }
            table.set(bytes.extracting(name), bytes.extracting(value))
        }
    }
}

// MARK: The exchange that a call starts with

extension WireWriter {
    mutating func exchange(_ exchange: Exchange, withResponse: Bool) {
        head(exchange.request)
        flag(withResponse)
        if withResponse { head(exchange.response) }
        number(exchange.requestID.high)
        number(exchange.requestID.low)
        client(exchange.client)
        vars(exchange.vars)
        failure(exchange)
    }

    private mutating func client(_ client: ClientInfo) {
        flag(client.address.isV6)
        number(client.address.high)
        number(client.address.low)
        number32(UInt32(client.port))
        flag(client.tls != nil)
        guard let tls = client.tls else { return }
        string(tls.version)
        string(tls.cipher)
        string(tls.serverName)
        for text in [tls.clientSubject, tls.fingerprint, tls.clientIssuer, tls.clientSerial, tls.clientFingerprint] { string(text) }
        flag(tls.clientVerified)
    }

    private mutating func failure(_ exchange: Exchange) {
        flag(exchange.error != nil)
        guard let error = exchange.error else { return }
        byte(error.kind.rawValue)
        byte(error.phase.rawValue)
        flag(error.retrySafe)
        string(error.note)
        string(exchange.failedHook)
    }
}

extension WireReader {
    mutating func exchange(into exchange: Exchange) throws(WireError) {
        try head(into: &exchange.request)
        if try flag() { try head(into: &exchange.response) } else { exchange.response.reset() }
        exchange.requestID = RequestID(high: try number(), low: try number())
        exchange.client = try client()
        exchange.vars.removeAll()
        try vars(into: &exchange.vars)
        try failure(into: exchange)
    }

    private mutating func client() throws(WireError) -> ClientInfo {
        var client = ClientInfo()
        let isV6 = try flag(), high = try number(), low = try number()
        client.address = isV6 ? IPAddress(v6High: high, v6Low: low) : IPAddress(v4: UInt32(truncatingIfNeeded: low))
        client.port = UInt16(truncatingIfNeeded: try number32())
        guard try flag() else { return client }
        let version = try string(), cipher = try string(), name = try string(), subject = try string(), fingerprint = try string()
        let issuer = try string(), serial = try string(), certificate = try string()
        client.tls = TLSInfo(
            version: version, cipher: cipher, serverName: name, clientSubject: subject, clientVerified: try flag(),
            fingerprint: fingerprint, clientIssuer: issuer, clientSerial: serial, clientFingerprint: certificate)
        return client
    }

    mutating func failure(into exchange: Exchange) throws(WireError) {
        exchange.error = nil
        exchange.failedHook = ""
        guard try flag() else { return }
        let kind = ErrorKind(rawValue: try byte()) ?? .bug, phase = ExchangePhase(rawValue: try byte()) ?? .requestHook
        let retrySafe = try flag()
        exchange.error = GatewayError(kind, in: phase, retrySafe: retrySafe, note: try string())
        exchange.failedHook = try string()
    }
}

// MARK: Functions

extension WireWriter {
    mutating func source(_ source: HookSource) {
        string(source.name)
        string(source.main)
        flag(source.untrusted)
        flag(source.isolation == .request)
        flag(source.reachesOutside)
        flag(source.webAssembly)
        number32(UInt32(clamping: source.binaries.count))
        for (path, bytes) in source.binaries {
            string(path)
            array(bytes)
        }
        number32(UInt32(clamping: source.modules.count))
        for (path, text) in source.modules {
            string(path)
            string(text)
        }
        limits(source.limits)
        number32(UInt32(clamping: source.upstreams.count))
        for name in source.upstreams { string(name) }
        number32(UInt32(clamping: source.variables.count))
        for (name, value) in source.variables {
            string(name)
            string(value)
        }
        number32(UInt32(clamping: source.secrets.count))
        for (name, value) in source.secrets {
            string(name)
            string(value)
        }
        number32(UInt32(clamping: source.keys.count))
        for (name, key) in source.keys {
            string(name)
            string(key)
        }
        number32(UInt32(clamping: source.stores.count))
        for store in source.stores {
            string(store.name)
            number32(UInt32(clamping: store.largestValue))
        }
        number32(UInt32(clamping: source.heldBack.count))
        for name in source.heldBack { string(name) }
        number32(UInt32(clamping: source.lists.count))
        for (name, list) in source.lists {
            string(name)
            list.write(to: &self)
        }
    }

    private mutating func limits(_ limits: HookLimits) {
        number(limits.cpuMicroseconds)
        number(limits.wallMilliseconds)
        number(UInt64(clamping: limits.memoryBytes))
        number(UInt64(clamping: limits.externalBytes))
        number(UInt64(clamping: limits.subrequests))
        number(UInt64(clamping: limits.logBytes))
        number(limits.tailMilliseconds)
        number(UInt64(clamping: limits.timers))
        number(limits.cryptoMilliseconds)
    }

    mutating func rule(_ rule: HookRule) {
        string(rule.name)
        string(rule.file)
        number32(UInt32(clamping: rule.line))
        string(rule.arguments)
    }
}

extension WireReader {
    mutating func source() throws(WireError) -> HookSource {
        var source = HookSource(name: try string(), main: try string(), modules: [:])
        source.untrusted = try flag()
        source.isolation = try flag() ? .request : .worker
        source.reachesOutside = try flag()
        source.webAssembly = try flag()
        for _ in 0..<(try count(ofAtLeast: 8)) {
            let path = try string()
            source.binaries[path] = try array()
        }
        for _ in 0..<(try count(ofAtLeast: 8)) {
            let path = try string()
            source.modules[path] = try string()
        }
        source.limits = try limits()
        for _ in 0..<(try count(ofAtLeast: 4)) { source.upstreams.append(try string()) }
        for _ in 0..<(try count(ofAtLeast: 8)) {
            let name = try string()
            source.variables[name] = try string()
        }
        for _ in 0..<(try count(ofAtLeast: 8)) {
            let name = try string()
            source.secrets[name] = try string()
        }
        for _ in 0..<(try count(ofAtLeast: 8)) {
            let name = try string()
            source.keys[name] = try string()
        }
        for _ in 0..<(try count(ofAtLeast: 8)) {
            source.stores.append(HookStoreGrant(name: try string(), largestValue: Int(try number32())))
        }
        for _ in 0..<(try count(ofAtLeast: 4)) { source.heldBack.append(try string()) }
        for _ in 0..<(try count(ofAtLeast: 8)) {
            let name = try string()
            source.lists[name] = try HookList(from: &self)
        }
        return source
    }

    private mutating func limits() throws(WireError) -> HookLimits {
        var limits = HookLimits()
        limits.cpuMicroseconds = try number()
        limits.wallMilliseconds = try number()
        limits.memoryBytes = Int(clamping: try number())
        limits.externalBytes = Int(clamping: try number())
        limits.subrequests = Int(clamping: try number())
        limits.logBytes = Int(clamping: try number())
        limits.tailMilliseconds = try number()
        limits.timers = Int(clamping: try number())
        limits.cryptoMilliseconds = try number()
        return limits
    }

    mutating func rule() throws(WireError) -> HookRule {
        HookRule(name: try string(), file: try string(), line: Int(try number32()), arguments: try string())
    }

    /// A failure as a cordon tells it: for the log and the policy, cut to what a log line may be.
    mutating func failure(_ function: String, _ rule: String) throws(WireError) -> HookFailure {
        guard let kind = HookFailure.Kind(rawValue: Int(try byte())) else { throw WireError("no kind of failure") }
        var failure = HookFailure(kind, function: function, rule: rule, message: escapedForLog(String(try string().prefix(2048))))
        failure.file = escapedForLog(String(try string().prefix(512)))
        failure.line = Int(try number32())
        failure.column = Int(try number32())
        failure.passThrough = try flag()
        failure.memoryBytes = try number()
        return failure
    }
}

extension WireWriter {
    mutating func failure(_ failure: HookFailure) {
        byte(UInt8(clamping: failure.kind.rawValue))
        string(failure.message)
        string(failure.file)
        number32(UInt32(clamping: failure.line))
        number32(UInt32(clamping: failure.column))
        flag(failure.passThrough)
        number(failure.memoryBytes)
    }
}
