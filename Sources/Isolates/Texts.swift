import CV8

// SAFETY: one byte that is never freed or changed; the address of empty views.
nonisolated(unsafe) let emptyBytes: UnsafePointer<UInt8> = {
    let byte = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)
    unsafe byte.initialize(to: 0)
    return unsafe UnsafePointer(byte)
}()

/// Lends several texts to C at once: they are laid out one behind the other.
func withTexts<R>(_ texts: [String], _ body: (UnsafeBufferPointer<cv8_bytes>) -> R) -> R {
    let counts = texts.map(\.utf8.count)
    let joined = Array(texts.joined().utf8)
    // SAFETY: every view lies within `joined`, which outlives the closure's call.
    return unsafe joined.withUnsafeBufferPointer { buffer in
        let base = unsafe buffer.baseAddress ?? emptyBytes
        var offset = 0
        let views = unsafe counts.map { count in
            defer { offset += count }
            return unsafe cv8_bytes(bytes: base + offset, count: count)
        }
        return unsafe views.withUnsafeBufferPointer { unsafe body($0) }
    }
}
