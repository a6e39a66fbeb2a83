import CV8

/// What the shim answered to a call, before it is a CallResult or a kept value.
// SAFETY: the error is handed over once, to the JSError made in init; nothing unsafe is stored.
struct RawResult {
    let core: IsolateCore
    let kind: Int32
    let handle: Int32
    let integer: Int32
    let number: Double
    let failure: CallFailure?

    /// Takes `error` over.
    init(core: IsolateCore, status: cv8_status, value: cv8_value, error: UnsafeMutablePointer<cv8_error>?) {
        self.core = core
        unsafe (kind, handle, integer, number) = (value.kind, value.handle, value.integer, value.number)
        switch status {
        case CV8_THREW: failure = unsafe .threw(JSError(taking: error))
        case CV8_TERMINATED:
            let stop = unsafe core.pointer.map { unsafe cv8_turn_stop($0) } ?? 0
            failure = .terminated(Termination(rawValue: stop) ?? .requested)
        default: failure = nil
        }
    }

    var result: CallResult {
        switch failure {
        case .threw(let error): .threw(error)
        case .terminated(let why): .terminated(why)
        case nil: value
        }
    }

    private var value: CallResult {
        switch cv8_kind(rawValue: UInt32(bitPattern: kind)) {
        case CV8_BOOLEAN: .bool(integer != 0)
        case CV8_INT: .int(integer)
        case CV8_DOUBLE: .double(number)
        default: CallResult(kind: kind)
        }
    }

    func kept() throws(CallFailure) -> JSValue {
        if let failure { throw failure }
        return JSValue(core: core, handle: handle)
    }
}

extension CallResult {
    /// Without the value: numbers and booleans read as `.other`.
    init(kind: Int32) {
        switch cv8_kind(rawValue: UInt32(bitPattern: kind)) {
        case CV8_UNDEFINED: self = .undefined
        case CV8_NULL: self = .null
        case CV8_STRING: self = .string
        case CV8_BYTES: self = .bytes
        case CV8_FUNCTION: self = .function
        case CV8_OBJECT: self = .object
        case CV8_PROMISE_PENDING: self = .promise(.pending)
        case CV8_PROMISE_FULFILLED: self = .promise(.fulfilled)
        case CV8_PROMISE_REJECTED: self = .promise(.rejected)
        default: self = .other
        }
    }
}

// SAFETY: callers hold the Isolate, so `raw` is alive; the shim copies arguments and writes only its results.
extension IsolateCore {
    func call(_ callee: Int32, _ arguments: [JSArgument], keep: Bool) -> RawResult {
        unsafe precondition(cv8_turn_is_open(raw), "hook code runs only inside a turn")
        var storage: [UInt8] = []
        for argument in arguments { argument.appendText(to: &storage) }
        var value = unsafe cv8_value()
        var error: UnsafeMutablePointer<cv8_error>?
        // SAFETY: the views made from `storage` are used before the closure ends; V8 copies.
        let status = unsafe storage.withUnsafeBufferPointer { buffer in
            var rest = unsafe buffer.baseAddress ?? emptyBytes
            let records = unsafe arguments.map { unsafe $0.record(&rest, in: self) }
            return unsafe records.withUnsafeBufferPointer { list in
                unsafe cv8_call_function(raw, callee, list.baseAddress, list.count, keep, &value, &error)
            }
        }
        return unsafe RawResult(core: self, status: status, value: value, error: error)
    }

    func property(_ name: String, of object: Int32) -> RawResult {
        unsafe precondition(cv8_turn_is_open(raw), "hook code runs only inside a turn")
        var value = unsafe cv8_value()
        var error: UnsafeMutablePointer<cv8_error>?
        let status = unsafe withTexts([name]) { unsafe cv8_get_property(raw, object, $0[0], &value, &error) }
        return unsafe RawResult(core: self, status: status, value: value, error: error)
    }
}

// SAFETY: a record points into the storage that appendText filled in the same order; `call` keeps it for the call.
extension JSArgument {
    fileprivate func appendText(to storage: inout [UInt8]) {
        switch self {
        case .string(let text), .json(let text): storage.append(contentsOf: text.utf8)
        case .latin1(let bytes), .bytes(let bytes): storage.append(contentsOf: bytes)
        case .undefined, .null, .bool, .int, .double, .value: break
        }
    }

    /// The record for the shim; a text takes its bytes from `rest`, where appendText put them in the same order.
    fileprivate func record(_ rest: inout UnsafePointer<UInt8>, in core: IsolateCore) -> cv8_value {
        var record = unsafe cv8_value()
        switch self {
        case .undefined: unsafe record.kind = Int32(CV8_UNDEFINED.rawValue)
        case .null: unsafe record.kind = Int32(CV8_NULL.rawValue)
        case .bool(let flag):
            unsafe record.kind = Int32(CV8_BOOLEAN.rawValue)
            unsafe record.integer = flag ? 1 : 0
        case .int(let number):
            unsafe record.kind = Int32(CV8_INT.rawValue)
            unsafe record.integer = number
        case .double(let number):
            unsafe record.kind = Int32(CV8_DOUBLE.rawValue)
            unsafe record.number = number
        case .value(let value):
            precondition(value.core === core, "the argument belongs to another isolate")
            unsafe record.kind = Int32(CV8_HANDLE.rawValue)
            unsafe record.handle = value.handle
        case .string(let text): unsafe record.take(CV8_UTF8, text.utf8.count, &rest)
        case .json(let text): unsafe record.take(CV8_JSON, text.utf8.count, &rest)
        case .latin1(let bytes): unsafe record.take(CV8_LATIN1, bytes.count, &rest)
        case .bytes(let bytes): unsafe record.take(CV8_NEW_BYTES, bytes.count, &rest)
        }
        return unsafe record
    }
}

// SAFETY: the sum of all counts taken is the size of the storage that `rest` walks through.
extension cv8_value {
    init(integer: Int32) {
        unsafe self.init()
        unsafe kind = Int32(CV8_INT.rawValue)
        unsafe self.integer = integer
    }

    init(chunk: cv8_bytes) {
        unsafe self.init()
        unsafe kind = Int32(CV8_NEW_BYTES.rawValue)
        unsafe bytes = chunk
    }

    fileprivate mutating func take(_ kind: cv8_kind, _ count: Int, _ rest: inout UnsafePointer<UInt8>) {
        unsafe self.kind = Int32(kind.rawValue)
        unsafe bytes = cv8_bytes(bytes: rest, count: count)
        unsafe rest += count
    }
}
