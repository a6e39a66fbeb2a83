import CV8

// SAFETY: `raw` lives as long as the operation and this object no longer; V8 copies what it is given.
extension NativeCall {
    public func returnNull() { unsafe cv8_return_null(raw) }
    public func returnBool(_ value: Bool) { unsafe cv8_return_bool(raw, value) }
    public func returnInt(_ value: Int32) { unsafe cv8_return_int(raw, value) }
    public func returnDouble(_ value: Double) { unsafe cv8_return_double(raw, value) }
    public func returnValue(_ value: JSValue) { unsafe cv8_return_handle(raw, value.handle) }

    /// A string with one character for each byte.
    public func returnLatin1(_ text: Span<UInt8>) throws(NativeFailure) {
        try unsafe pass(text) { call, bytes in unsafe cv8_return_latin1(call, bytes) }
    }

    /// A string from UTF-8; malformed parts become U+FFFD.
    public func returnUTF8(_ text: Span<UInt8>) throws(NativeFailure) {
        try unsafe pass(text) { call, bytes in unsafe cv8_return_utf8(call, bytes) }
    }

    public func returnString(_ text: String) throws(NativeFailure) {
        try unsafe pass(text.utf8Span.span) { call, bytes in unsafe cv8_return_utf8(call, bytes) }
    }

    /// A new Uint8Array with a copy. A RangeError when the isolate's buffers have no room for it.
    public func returnBytes(_ bytes: Span<UInt8>) throws(NativeFailure) {
        try unsafe pass(bytes) { call, bytes in unsafe cv8_return_bytes(call, bytes) }
    }

    /// The value of a JSON text. A SyntaxError for the script when it is none.
    public func returnJSON(_ text: Span<UInt8>) throws(NativeFailure) {
        try unsafe pass(text) { call, bytes in unsafe cv8_return_json(call, bytes) }
    }

    /// Makes the result an array of what is appended from here on.
    public func beginArray() { unsafe cv8_array_begin(raw) }
    public func appendInt(_ value: Int32) { unsafe cv8_array_int(raw, value) }
    public func appendNull() { unsafe cv8_array_null(raw) }

    public func appendLatin1(_ text: Span<UInt8>) throws(NativeFailure) {
        try unsafe pass(text) { call, bytes in unsafe cv8_array_latin1(call, bytes) }
    }

    public func appendUTF8(_ text: Span<UInt8>) throws(NativeFailure) {
        try unsafe pass(text) { call, bytes in unsafe cv8_array_utf8(call, bytes) }
    }

    /// False from the shim means that V8 has an exception pending.
    // SAFETY: every body below hands its two arguments to one function of the shim and keeps neither.
    @inline(__always)
    private func pass(
        _ bytes: Span<UInt8>, _ body: (OpaquePointer, cv8_bytes) -> Bool
    ) throws(NativeFailure) {
        let call = unsafe raw
        // SAFETY: the bytes live during the call; V8 copies them.
        let passed = unsafe bytes.withUnsafeBufferPointer { buffer in
            unsafe body(call, cv8_bytes(bytes: buffer.baseAddress, count: buffer.count))
        }
        if !passed { throw .pending }
    }
}
