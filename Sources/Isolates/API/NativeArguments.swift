public import Buffers
import CV8

// SAFETY: `raw` lives as long as the operation and this object no longer; the shim checks every index and writes only
// the variables passed to it.
extension NativeCall {
    public var argumentCount: Int { unsafe Int(cv8_argument_count(raw)) }

    public func kind(_ index: Int) -> NativeKind {
        switch unsafe cv8_kind(rawValue: UInt32(bitPattern: cv8_argument_kind(raw, Int32(truncatingIfNeeded: index)))) {
        case CV8_UNDEFINED: .undefined
        case CV8_NULL: .null
        case CV8_BOOLEAN: .boolean
        case CV8_INT, CV8_DOUBLE: .number
        case CV8_STRING: .string
        case CV8_BYTES: .bytes
        case CV8_FUNCTION: .function
        case CV8_PROMISE_PENDING, CV8_PROMISE_FULFILLED, CV8_PROMISE_REJECTED: .promise
        default: .object
        }
    }

    public func isUndefinedOrNull(_ index: Int) -> Bool {
        let kind = kind(index)
        return kind == .undefined || kind == .null
    }

    /// An integral number within Int32.
    public func int32(_ index: Int) throws(NativeFailure) -> Int32 {
        var value: Int32 = 0
        guard unsafe cv8_argument_int(raw, Int32(truncatingIfNeeded: index), &value) else {
            throw .typeError("argument \(index) must be a 32-bit integer")
        }
        return value
    }

    /// Two integral numbers within Int32, the second right behind the first.
    public func pair(_ index: Int) throws(NativeFailure) -> (Int32, Int32) {
        var first: Int32 = 0, second: Int32 = 0
        guard unsafe cv8_argument_pair(raw, Int32(truncatingIfNeeded: index), &first, &second) else {
            throw .typeError("arguments \(index) and \(index + 1) must be 32-bit integers")
        }
        return (first, second)
    }

    /// The first three arguments, integral numbers within Int32: for operations that are called more than once a request.
    public func triple() throws(NativeFailure) -> (Int32, Int32, Int32) {
        var numbers = cv8_triple()
        guard unsafe cv8_argument_triple(raw, &numbers) else { throw .typeError("arguments 0 to 2 must be 32-bit integers") }
        return (numbers.first, numbers.second, numbers.third)
    }

    public func int(_ index: Int) throws(NativeFailure) -> Int { Int(try int32(index)) }

    public func double(_ index: Int) throws(NativeFailure) -> Double {
        var value: Double = 0
        guard unsafe cv8_argument_double(raw, Int32(truncatingIfNeeded: index), &value) else {
            throw .typeError("argument \(index) must be a number")
        }
        return value
    }

    public func bool(_ index: Int) throws(NativeFailure) -> Bool {
        var value = false
        guard unsafe cv8_argument_bool(raw, Int32(truncatingIfNeeded: index), &value) else {
            throw .typeError("argument \(index) must be a boolean")
        }
        return value
    }

    /// A string as a "byte string": one byte for each character, copied into memory that lives until the operation
    /// ends. A character above 255 is a TypeError, as in the Fetch standard.
    @_lifetime(borrow self)
    public func latin1(_ index: Int) throws(NativeFailure) -> Span<UInt8> {
        var bytes = unsafe cv8_bytes()
        let status = unsafe cv8_argument_latin1(raw, Int32(truncatingIfNeeded: index), &bytes)
        guard status == CV8_TEXT_OK else { throw textFailure(status, index) }
        return unsafe view(bytes)
    }

    /// A string as UTF-8 (lone surrogates become U+FFFD), copied into memory that lives until the operation ends.
    @_lifetime(borrow self)
    public func utf8(_ index: Int) throws(NativeFailure) -> Span<UInt8> {
        var bytes = unsafe cv8_bytes()
        let status = unsafe cv8_argument_utf8(raw, Int32(truncatingIfNeeded: index), &bytes)
        guard status == CV8_TEXT_OK else { throw textFailure(status, index) }
        return unsafe view(bytes)
    }

    /// A Swift string. Allocates: for operations off the hot path.
    public func string(_ index: Int) throws(NativeFailure) -> String {
        let bytes = try utf8(index)
        return unsafe bytes.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
    }

    /// The bytes of a Uint8Array (or another view) or ArrayBuffer, in place, until the operation ends.
    /// What the script writes meanwhile (only if you call into the isolate) shows.
    @_lifetime(borrow self)
    public func bytes(_ index: Int) throws(NativeFailure) -> Span<UInt8> {
        var bytes = unsafe cv8_bytes()
        guard unsafe cv8_argument_bytes(raw, Int32(truncatingIfNeeded: index), &bytes) else {
            throw .typeError("argument \(index) must be an ArrayBuffer or a view on one")
        }
        return unsafe view(bytes)
    }

    /// The bytes of a view over a chunk that was lent (`Isolate.call(_:_:_:_:lending:)`), where they lie; nil for any other value.
    /// The script may still write to them.
    public func loan(_ index: Int) -> Slice? {
        var loan = unsafe cv8_loan(), bytes = unsafe cv8_bytes()
        guard unsafe cv8_argument_loan(raw, Int32(truncatingIfNeeded: index), &loan, &bytes),
            unsafe loan.number < 0, let token = unsafe loan.token, let start = unsafe bytes.bytes
        else { return nil }
        return unsafe SlabLoan.slice(token, start, bytes.count)
    }

    /// The same for a view over a shared chunk: its number and where the view begins in it.
    public func sharedLoan(_ index: Int) -> (number: Int, offset: Int)? {
        var loan = unsafe cv8_loan(), bytes = unsafe cv8_bytes()
        guard unsafe cv8_argument_loan(raw, Int32(truncatingIfNeeded: index), &loan, &bytes),
            unsafe loan.number >= 0, let start = unsafe bytes.bytes, let first = unsafe loan.bytes
        else { return nil }
        return unsafe (Int(loan.number), start - UnsafePointer(first))
    }

    /// Copies `source` into a Uint8Array (or another view) or ArrayBuffer, from its byte `offset` on.
    public func write(_ source: Span<UInt8>, into index: Int, at offset: Int = 0) throws(NativeFailure) {
        let call = unsafe raw
        // SAFETY: the shim checks the bounds of the target and reads `source` before it returns.
        let fits = unsafe source.withUnsafeBufferPointer { buffer in
            unsafe cv8_argument_write(
                call, Int32(truncatingIfNeeded: index), offset, cv8_bytes(bytes: buffer.baseAddress, count: buffer.count))
        }
        if !fits { throw .rangeError("argument \(index) has no room for \(source.count) bytes at \(offset)") }
    }

    /// Empties an ArrayBuffer (or a view's buffer) for the script, as a transfer does.
    public func detach(_ index: Int) throws(NativeFailure) {
        guard unsafe cv8_argument_detach(raw, Int32(truncatingIfNeeded: index)) else {
            throw .typeError("argument \(index) must be a detachable ArrayBuffer or a view on one")
        }
    }

    /// Keeps an argument beyond the operation.
    public func keep(_ index: Int) throws(NativeFailure) -> JSValue {
        // SAFETY: the operations live as long as the isolate that is calling them.
        let core = unsafe operations._withUnsafeGuaranteedRef { unsafe $0.core }
        let handle = unsafe cv8_argument_keep(raw, Int32(truncatingIfNeeded: index))
        guard let core, handle >= 0 else { throw .typeError("argument \(index) is missing") }
        return JSValue(core: core, handle: handle)
    }

    /// Describes an argument as an error. For Error objects this reads `stack`, which may run hook code.
    public func error(_ index: Int) -> JSError {
        unsafe JSError(taking: cv8_argument_error(raw, Int32(truncatingIfNeeded: index)))
    }

    /// Stops the script as soon as this operation returns. The turn reports `.requested`.
    public func terminate() { unsafe cv8_isolate_terminate(cv8_call_isolate(raw)) }

    private func textFailure(_ status: cv8_text_status, _ index: Int) -> NativeFailure {
        switch status {
        case CV8_TEXT_NOT_LATIN1: .typeError("argument \(index) has a character above 255")
        case CV8_TEXT_TOO_LONG: .rangeError("argument \(index) is too long")
        default: .typeError("argument \(index) must be a string")
        }
    }

    @_lifetime(borrow self)
    private func view(_ bytes: cv8_bytes) -> Span<UInt8> {
        // SAFETY: the shim keeps the bytes until the operation ends, and this object cannot outlive the operation.
        let span = unsafe Span(_unsafeStart: bytes.bytes ?? emptyBytes, count: bytes.count)
        return unsafe _overrideLifetime(span, borrowing: self)
    }
}
