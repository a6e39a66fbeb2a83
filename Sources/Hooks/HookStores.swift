import Buffers
import Isolates
public import KeyValue

/// A key-value namespace granted as `env.NAME`.
public struct HookStoreGrant: Sendable, Equatable, Hashable {
    public var name: String
    /// Bytes of a value.
    public var largestValue: Int

    public init(name: String, largestValue: Int = 1 << 20) {
        self.name = name
        self.largestValue = largestValue
    }
}

/// What a hook asks of one of its namespaces. `HookCall.storeFinished` takes the ticket back.
public struct HookStoreRequest: Sendable {
    public let ticket: HookStoreTicket
    /// Index into `HookSource.stores`, or `cache`.
    public let store: Int
    public let request: StoreRequest
    /// What `caches` keeps for the tenant.
    public static let cache = -1

    /// Bytes of a value there; nil: there is no such place.
    static func largest(_ store: Int, _ source: HookSource) -> Int? {
        if store == cache { return ResponseCache.entryBytes }
        return source.stores.indices.contains(store) ? source.stores[store].largestValue : nil
    }
}

/// Names one request of one use of a call: calls are used again, and an answer may come late.
public struct HookStoreTicket: Sendable, Equatable {
    let id: Int32
    let use: UInt64
}

/// An answer as JavaScript takes it.
struct PackedStoreAnswer: Equatable {
    /// As in `kv.js`.
    enum Kind: Int32 { case missing, entry, done, page, failed }
    var kind: Kind
    var value: [UInt8] = []
    /// Metadata or a page as JSON text, or what failed.
    var text = ""

    init(kind: Kind, value: [UInt8] = [], text: String = "") {
        self.kind = kind
        self.value = value
        self.text = text
    }

    init(_ answer: StoreAnswer) {
        switch answer {
        case .missing: self.init(kind: .missing)
        case .done: self.init(kind: .done)
        case .entry(let entry): self.init(kind: .entry, value: entry.value, text: String(decoding: entry.metadata, as: UTF8.self))
        case .page(let page): self.init(kind: .page, text: page.json)
        case .failed(let failure): self.init(kind: .failed, text: failure.message)
        }
    }
}

extension StorePage {
    /// As `list()` answers it; the cursor is a name, which the prelude wraps.
    var json: String {
        let keys = names.map { name in
            var text = "{\"name\":\(jsonText(String(decoding: name.name, as: UTF8.self)))"
            if name.expiration > 0 { text += ",\"expiration\":\(name.expiration)" }
            if !name.metadata.isEmpty { text += ",\"metadata\":\(String(decoding: name.metadata, as: UTF8.self))" }
            return text + "}"
        }
        let cursor = next.map { jsonText(String(decoding: $0, as: UTF8.self)) } ?? "null"
        return "{\"keys\":[\(keys.joined(separator: ","))],\"list_complete\":\(next == nil),\"cursor\":\(cursor)}"
    }
}

extension HookOperations {
    /// `store(slot, epoch, index, kind, key, value, metadata, expiration, lifetime, after, limit)`
    func store(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native), index = try native.int(2)
        guard let largest = HookStoreRequest.largest(index, function.source), let kind = StoreRequest.Kind(rawValue: UInt8(clamping: try native.int(3))) else {
            throw .typeError("no such namespace")
        }
        guard call.progress.storeRequests < StoreLimits.requestsOfCall else {
            throw .error("the limit of \(StoreLimits.requestsOfCall) key-value requests for one call was reached")
        }
        let request = try storeRequest(kind, native)
        if let complaint = request.complaint(largest: largest) { throw .rangeError(complaint) }
        let ticket = HookStoreTicket(id: call.progress.nextSubrequest, use: call.uses)
        try hold(ticket.id, request.value.count, call)
        call.progress.nextSubrequest += 1
        call.progress.storeRequests += 1
        function.tally.storeRequests += 1
        function.events.append(.store(call, call.epoch, HookStoreRequest(ticket: ticket, store: index, request: request)))
        native.returnInt(ticket.id)
    }

    private func storeRequest(_ kind: StoreRequest.Kind, _ native: borrowing NativeCall) throws(NativeFailure) -> StoreRequest {
        var request = StoreRequest(kind, key: try native.utf8(4).array())
        switch native.kind(5) {
        case .null: break
        case .string: request.value = try native.utf8(5).array()
        default: request.value = try native.bytes(5).array()
        }
        request.metadata = try native.utf8(6).array()
        request.expiration = try seconds(native, 7)
        request.lifetime = try seconds(native, 8)
        request.after = try native.utf8(9).array()
        request.limit = try native.int(10)
        return request
    }

    private func seconds(_ native: borrowing NativeCall, _ index: Int) throws(NativeFailure) -> UInt64 {
        let value = try native.double(index)
        guard value >= 0, value <= 1e15 else { throw .rangeError("a time in seconds is needed") }
        return UInt64(value)
    }
}

extension HookCall {
    /// Whether `storeFinished` would tell anybody.
    public final func waits(for ticket: HookStoreTicket) -> Bool { ticket.use == uses && (remote.owner != nil || slot >= 0) }

    /// False: so much waits for its process to take it that answers are better made later.
    public final var hasRoomForAnswers: Bool { remote.owner.map { $0.unsent <= RemoteHooks.mostUnsent } ?? true }

    /// What came of a request. Ignored when the call is over, or another one by now.
    public final func storeFinished(_ ticket: HookStoreTicket, _ answer: StoreAnswer) {
        guard ticket.use == uses else { return }
        letGo(ticket.id)
        let packed = PackedStoreAnswer(answer)
        if let owner = remote.owner { return owner.answer(self, .stored(ticket.id, packed)) }
        storeArrived(ticket.id, packed)
    }

    final func storeArrived(_ id: Int32, _ answer: PackedStoreAnswer) {
        guard let function, slot >= 0 else { return }
        letGo(id)
        function.enter(.stored, for: self, [.int(id), .int(answer.kind.rawValue), .bytes(answer.value), .string(answer.text)])
    }
}

// MARK: In a cordon

extension HookStoreRequest {
    func write(to wire: inout WireWriter) {
        wire.number32(UInt32(bitPattern: ticket.id))
        wire.number32(UInt32(bitPattern: Int32(clamping: store)))
        wire.byte(request.kind.rawValue)
        wire.array(request.key)
        wire.array(request.value)
        wire.array(request.metadata)
        wire.number(request.expiration)
        wire.number(request.lifetime)
        wire.array(request.after)
        wire.number32(UInt32(clamping: request.limit))
    }

    /// What a cordon asks for, held to the same limits as a script.
    static func read(from wire: inout WireReader, _ call: HookCall, _ source: HookSource) throws(WireError) -> HookStoreRequest {
        guard call.progress.storeRequests < StoreLimits.requestsOfCall else { throw WireError("more key-value requests than allowed") }
        let id = Int32(bitPattern: try wire.number32()), index = Int(Int32(bitPattern: try wire.number32()))
        guard let largest = largest(index, source), let kind = StoreRequest.Kind(rawValue: try wire.byte()) else {
            throw WireError("a request to no namespace")
        }
        var request = StoreRequest(kind, key: try wire.array())
        request.value = try wire.array()
        request.metadata = try wire.array()
        request.expiration = try wire.number()
        request.lifetime = try wire.number()
        request.after = try wire.array()
        request.limit = Int(try wire.number32())
        try wire.expectEnd()
        if let complaint = request.complaint(largest: largest) { throw WireError(complaint) }
        guard call.holds(id, request.value.count, atMost: source.limits.memoryBytes) else { throw WireError("values beyond what may wait") }
        call.progress.storeRequests += 1
        if request.isWrite, index != cache { call.progress.wroteStore = true }
        return HookStoreRequest(ticket: HookStoreTicket(id: id, use: call.uses), store: index, request: request)
    }
}

extension PackedStoreAnswer {
    func write(to wire: inout WireWriter) {
        wire.byte(UInt8(clamping: kind.rawValue))
        wire.array(value)
        wire.string(text)
    }

    init(from wire: inout WireReader) throws(WireError) {
        guard let kind = Kind(rawValue: Int32(try wire.byte())) else { throw WireError("no answer of a namespace") }
        self.init(kind: kind, value: try wire.array(), text: try wire.string())
    }
}
