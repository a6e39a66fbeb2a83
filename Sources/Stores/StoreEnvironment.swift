import CLMDB
import KeyValue

/// What LMDB or the system said.
public struct StoreError: Error, Sendable, Equatable, CustomStringConvertible {
    let code: Int32

    // SAFETY: the function answers a NUL-terminated text that lives as long as the process.
    public var description: String { unsafe String(cString: sluice_store_error(code)) }

    /// As a hook is told.
    var failure: StoreFailure {
        switch code {
        case SLUICE_STORE_FULL.rawValue: StoreFailure(.full, "the namespace is full")
        case 28, 122: StoreFailure(.full, "the disk is full")  // ENOSPC, EDQUOT
        case SLUICE_STORE_DAMAGED.rawValue: StoreFailure(.broken, "an entry is damaged")
        default: StoreFailure(.broken, "the store failed: \(description)")
        }
    }

    var isFull: Bool { failure.kind == .full }
}

/// One namespace on disk. One thread of a process may read and another write at the same time (clmdb.h).
@safe final class StoreEnvironment: Sendable {
    // SAFETY: made in init, never changed, closed in deinit when no thread can hold this object any more. The C side
    // keeps what its readers use apart from what its writer uses, and locks where the map moves.
    nonisolated(unsafe) private let raw: OpaquePointer

    /// How much larger than its namespace a file may be. A deletion changes copies of pages, and what a transaction freed serves the one after the next:
    /// without this room nothing could be taken out of a file that is full.
    private static let spare = 2 << 20

    /// - Parameter bytes: what the namespace may hold.
    init(path: String, bytes: Int) throws(StoreError) {
        var opened: OpaquePointer?
        // SAFETY: the path is NUL-terminated during the call; the result goes into a local.
        let code = unsafe sluice_store_open(path, UInt64(bytes + Self.spare), &opened)
        guard code == 0, let opened = unsafe opened else { throw StoreError(code: code) }
        unsafe raw = opened
    }

    deinit { unsafe sluice_store_close(raw) }

    // MARK: The reading thread

    func get(_ key: [UInt8], now: UInt64) throws(StoreError) -> StoredEntry? {
        var found = unsafe sluice_entry()
        // SAFETY: the key is lent for the call. With result 0 the slices of `found` are good until the release.
        let code = unsafe key.withUnsafeBufferPointer { unsafe sluice_store_find(raw, $0.baseAddress, $0.count, &found) }
        if code == SLUICE_STORE_MISSING.rawValue { return nil }
        try check(code)
        defer { unsafe sluice_store_release(raw) }
        guard unsafe found.expires == 0 || found.expires > now else { return nil }
        return unsafe StoredEntry(
            value: Self.copy(found.value, found.value_count), metadata: Self.copy(found.metadata, found.metadata_count),
            expiration: found.expires)
    }

    /// Entries that one page looks at, whether they are on it or over.
    static let mostLooked = 2 * StoreLimits.page

    func list(_ request: StoreRequest, now: UInt64) throws(StoreError) -> StorePage {
        var page = StorePage()
        var found = unsafe sluice_entry()
        let from = request.after.isEmpty || request.after.lexicographicallyPrecedes(request.key) ? request.key : request.after
        // SAFETY: as in `get`; each step makes the slices of the one before it invalid.
        var code = unsafe from.withUnsafeBufferPointer { unsafe sluice_store_seek(raw, $0.baseAddress, $0.count, &found) }
        if code == SLUICE_STORE_MISSING.rawValue { return page }
        try check(code)
        defer { unsafe sluice_store_release(raw) }
        var looked = 0
        while code == 0 {
            let name = unsafe Self.copy(found.key, found.key_count)
            guard name.starts(with: request.key) else { return page }
            let isOver = unsafe found.expires != 0 && found.expires <= now
            if !isOver, name != request.after {
                guard page.names.count < request.limit else {
                    page.next = page.names.last?.name
                    return page
                }
                unsafe page.names.append(StorePage.Name(
                    name: name, metadata: Self.copy(found.metadata, found.metadata_count), expiration: found.expires))
            }
            looked += 1
            guard looked < Self.mostLooked else {
                page.next = name
                return page
            }
            code = unsafe sluice_store_next(raw, &found)
        }
        if code != SLUICE_STORE_MISSING.rawValue { try check(code) }
        return page
    }

    private static func copy(_ start: UnsafePointer<UInt8>?, _ count: Int) -> [UInt8] {
        // SAFETY: the caller's entry is valid, so `count` bytes are there.
        unsafe Array(UnsafeBufferPointer(start: start, count: count))
    }

    // MARK: The writing thread

    func begin() throws(StoreError) { try check(unsafe sluice_store_begin(raw)) }
    func commit() throws(StoreError) { try check(unsafe sluice_store_commit(raw)) }
    func abort() { unsafe sluice_store_abort(raw) }

    /// At the beginning of a transaction that will put `bytes`: full when the namespace would hold more than `most`.
    func reserve(_ bytes: Int, within most: Int) throws(StoreError) {
        try check(unsafe sluice_store_reserve(raw, UInt64(bytes), UInt64(most)))
    }

    /// In a transaction.
    func put(_ key: [UInt8], _ value: [UInt8], _ metadata: [UInt8], expiration: UInt64) throws(StoreError) {
        // SAFETY: three arrays lent for the call, which copies what it keeps.
        let code = unsafe key.withUnsafeBufferPointer { key in
            unsafe value.withUnsafeBufferPointer { value in
                unsafe metadata.withUnsafeBufferPointer { metadata in
                    var entry = unsafe sluice_entry(
                        key: key.baseAddress, key_count: key.count, metadata: metadata.baseAddress, metadata_count: metadata.count,
                        value: value.baseAddress, value_count: value.count, expires: expiration)
                    return unsafe sluice_store_put(raw, &entry)
                }
            }
        }
        try check(code)
    }

    /// In a transaction.
    func remove(_ key: [UInt8]) throws(StoreError) {
        // SAFETY: the key is lent for the call.
        try check(unsafe key.withUnsafeBufferPointer { unsafe sluice_store_remove(raw, $0.baseAddress, $0.count) })
    }

    /// Takes out what is over, outside of a transaction.
    func expire(now: UInt64, atMost most: Int) throws(StoreError) -> Int {
        var removed: UInt32 = 0
        // SAFETY: a local that outlives the call.
        try check(unsafe sluice_store_expire(raw, now, UInt32(clamping: most), &removed))
        return Int(removed)
    }

    func resize(_ bytes: Int) throws(StoreError) { try check(unsafe sluice_store_resize(raw, UInt64(bytes + Self.spare))) }
    func checkReaders() { _ = unsafe sluice_store_check_readers(raw) }

    /// Bytes of the file that hold something.
    var used: Int {
        var used: UInt64 = 0
        // SAFETY: a local that outlives the call.
        let code = unsafe sluice_store_usage(raw, &used)
        return code == 0 ? Int(clamping: used) : 0
    }

    private func check(_ code: Int32) throws(StoreError) {
        if code != 0 { throw StoreError(code: code) }
    }
}
