import CNghttp2

/// Decodes header blocks, for the room's tests.
@safe final class HeaderBlockReader {
    private var inflater: OpaquePointer?

    init() {
        unsafe inflater = nil
        // SAFETY: freed in deinit.
        unsafe nghttp2_hd_inflate_new(&inflater)
    }

    deinit {
        unsafe nghttp2_hd_inflate_del(inflater)
    }

    /// The fields of a whole block, or nil when it is damaged.
    func decode(_ block: [UInt8]) -> [(name: String, value: String)]? {
        var fields: [(name: String, value: String)] = []
        var at = 0
        while true {
            var field = unsafe nghttp2_nv()
            var flags: Int32 = 0
            // SAFETY: the block is alive for the call; the field's bytes are copied at once.
            let count = unsafe block.withUnsafeBufferPointer {
                unsafe nghttp2_hd_inflate_hd2(inflater, &field, &flags, $0.baseAddress.map { unsafe $0 + at }, $0.count - at, 1)
            }
            guard count >= 0 else { return nil }
            at += count
            if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                let name = unsafe UnsafeBufferPointer(start: field.name, count: field.namelen)
                let value = unsafe UnsafeBufferPointer(start: field.value, count: field.valuelen)
                unsafe fields.append((String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self)))
            }
            if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 {
                unsafe nghttp2_hd_inflate_end_headers(inflater)
                return fields
            }
        }
    }
}
