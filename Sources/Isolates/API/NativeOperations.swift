import CV8

/// The operations behind `native` in the prelude. Subclass it and switch over the operation's number, which is its
/// index in `Prelude.operations`. One object serves one isolate.
open class NativeOperations {
    // SAFETY: set by the core and taken back when it disposes its isolate. A weak reference would make every retain
    // of the core slow.
    unowned(unsafe) var core: IsolateCore?
    /// The isolate reads the prelude's snapshot as long as it lives, and it holds these operations as long.
    var prelude: Prelude?

    public init() {}

    /// Performs one operation. What it throws, the script sees as an exception. Results are set on `call`; without
    /// one the result is undefined.
    open func perform(_ operation: Int, _ call: borrowing NativeCall) throws(NativeFailure) {
        throw .error("native operation \(operation) is not available")
    }
}

/// An exception for the script.
public enum NativeFailure: Error {
    case error(String)
    case typeError(String)
    case rangeError(String)
    /// V8 has the exception already.
    case pending
}

public enum NativeKind: Sendable { case undefined, null, boolean, number, string, bytes, function, promise, object }

/// One operation under way: its arguments and its result. Cannot be copied, so it cannot outlive the operation.
///
/// An index beyond the last argument reads as undefined. Nothing here runs hook code: only primitive values are
/// converted, anything else is a TypeError.
// SAFETY: made by performOperation only and lent for the operation; both fields live longer than that.
@safe public struct NativeCall: ~Copyable {
    let raw: OpaquePointer
    let operations: Unmanaged<NativeOperations>

    init(raw: OpaquePointer, operations: Unmanaged<NativeOperations>) {
        unsafe self.raw = raw
        unsafe self.operations = operations
    }
}

/// What V8 calls for `native.name(...)`. A plain function: a closure here would belong to an actor in some contexts.
nonisolated func performOperation(context: UnsafeMutableRawPointer?, operation: Int32, raw: OpaquePointer?) {
    guard let context = unsafe context, let raw = unsafe raw else { return }
    // SAFETY: the context is the isolate's operations, and the isolate holds a reference until it is freed, which
    // does not happen while one of its operations runs.
    let operations = unsafe Unmanaged<NativeOperations>.fromOpaque(context)
    let call = unsafe NativeCall(raw: raw, operations: operations)
    unsafe operations._withUnsafeGuaranteedRef { object in
        do throws(NativeFailure) {
            try object.perform(Int(operation), call)
        } catch {
            call.fail(error)
        }
    }
}

nonisolated func releaseOperations(context: UnsafeMutableRawPointer?) {
    guard let context = unsafe context else { return }
    // SAFETY: the reference that IsolateCore.init made for the isolate.
    unsafe Unmanaged<NativeOperations>.fromOpaque(context).release()
}

extension NativeCall {
    borrowing func fail(_ failure: NativeFailure) {
        switch failure {
        case .error(let text): fail(CV8_ERROR, text)
        case .typeError(let text): fail(CV8_TYPE_ERROR, text)
        case .rangeError(let text): fail(CV8_RANGE_ERROR, text)
        case .pending: break
        }
    }

    private borrowing func fail(_ kind: cv8_error_kind, _ text: String) {
        let call = unsafe raw
        // SAFETY: the text lives during the call; V8 copies it.
        unsafe withTexts([text]) { unsafe cv8_throw(call, Int32(kind.rawValue), $0[0]) }
    }
}
