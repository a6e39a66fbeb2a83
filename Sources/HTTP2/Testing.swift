import CNghttp2
import Glibc

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

/// The memory of sessions, for the room's tests.
@safe final class SessionMemory {
    /// What is read back from a block has been written to it: each holds its own number in every byte.
    @unsafe private struct Block {
        var memory: UnsafeMutableRawPointer
        var size: Int
        var mark: UInt8

        func holds(_ count: Int, of byte: UInt8) -> Bool {
            // SAFETY: the block is as large as was asked for. Each byte is compared with the next one.
            unsafe count == 0 || memory.load(as: UInt8.self) == byte && memcmp(memory, memory + 1, count - 1) == 0
        }
    }

    private var blocks: [Block]
    private let library: UnsafeMutablePointer<nghttp2_mem>

    /// Bytes that this thread keeps for the next stream.
    static var kept: Int { sluice_nghttp2_memory_kept() }

    /// Slots of pages that are free, resident and not.
    static var freeSlots: (warm: Int, cold: Int) { (sluice_nghttp2_slots_warm(), sluice_nghttp2_slots_cold()) }

    /// Nil where the C library's own is used.
    init?() {
        // SAFETY: the table lives for ever.
        guard let memory = unsafe sluice_nghttp2_memory() else { return nil }
        unsafe library = memory
        unsafe blocks = []
    }

    // SAFETY: looks at no block.
    var count: Int { unsafe blocks.count }

    /// - Returns: false when the block is not as it has to be.
    func take(_ size: Int, zeroed: Bool) -> Bool {
        // SAFETY: blocks are as large as was asked for, and freed by `give`.
        let memory = unsafe zeroed ? library.pointee.calloc(1, size, nil) : library.pointee.malloc(size, nil)
        guard let memory = unsafe memory, UInt(bitPattern: memory) % 16 == 0 else { return false }
        let block = unsafe Block(memory: memory, size: size, mark: UInt8(truncatingIfNeeded: count &* 31 &+ size))
        let clean = unsafe !zeroed || block.holds(size, of: 0)
        unsafe memset(memory, Int32(block.mark), size)
        unsafe blocks.append(block)
        return clean
    }

    func resize(_ index: Int, to size: Int) -> Bool {
        // SAFETY: see `take`; the old block is gone when there is a new one.
        var block = unsafe blocks[index]
        guard let memory = unsafe library.pointee.realloc(block.memory, size, nil) else { return false }
        unsafe block.memory = memory
        let same = unsafe block.holds(min(size, block.size), of: block.mark)
        unsafe memset(memory, Int32(block.mark), size)
        unsafe block.size = size
        unsafe blocks[index] = block
        return same
    }

    func give(_ index: Int) -> Bool {
        // SAFETY: see `take`.
        let block = unsafe blocks.remove(at: index)
        let same = unsafe block.holds(block.size, of: block.mark)
        unsafe library.pointee.free(block.memory, nil)
        return same
    }
}
