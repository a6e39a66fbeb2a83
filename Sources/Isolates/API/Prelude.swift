import CV8

/// The JavaScript every isolate starts with, ready to start from. Made once per process, shared by all isolates.
///
/// `source` is the body of a function with one parameter, `native`: an object whose methods are `operations`.
/// It returns an object with the functions named in `entries`, which Swift may call by their index.
/// `native` is reachable from nowhere else, so hook code sees it only if the prelude gives it away.
///
/// `rehearsal` is the body of a function of `prelude` (a function of `native`) and `native`. It runs before the snapshot
/// is made, with a prelude of its own that is forgotten: the code it made V8 compile is in the snapshot. A function
/// that it returns is called when its microtasks are done.
///
/// With `snapshot` the source runs here once and isolates start from the heap it left. While it runs, every
/// native operation throws: what it would read belongs to a process or a request, not to a snapshot.
// SAFETY: the image is private to the room and freed in deinit.
@safe public final class Prelude: Sendable {
    public let operations: [String]
    public let entries: [String]
    /// 0 without a snapshot.
    public let snapshotBytes: Int
    // SAFETY: an image is never changed after it was made, and V8 reads the blob only.
    nonisolated(unsafe) let image: OpaquePointer

    public init(
        name: String, source: String, operations: [String], entries: [String], rehearsal: String = "", snapshot: Bool = true
    ) throws(JSError) {
        V8Engine.start()
        var error: UnsafeMutablePointer<cv8_error>?
        let made: OpaquePointer? = unsafe withPrelude([name, source, rehearsal], operations, entries) { raw in
            unsafe cv8_image_make(raw, snapshot, &error)
        }
        guard let made = unsafe made else { throw unsafe JSError(taking: error) }
        unsafe self.image = made
        self.operations = operations
        self.entries = entries
        self.snapshotBytes = unsafe cv8_image_blob_size(made)
    }

    /// A prelude whose snapshot another process of this program made (`exported`); nil when the bytes are of another prelude
    /// or build, or damaged. Only for bytes from a place that nobody else can write to: V8 trusts what is in a snapshot.
    public init?(name: String, source: String, operations: [String], entries: [String], rehearsal: String = "", exported: [UInt8]) {
        V8Engine.start()
        let made: OpaquePointer? = unsafe withPrelude([name, source, rehearsal], operations, entries) { raw in
            // SAFETY: the bytes are borrowed for the call; the shim copies them.
            unsafe exported.withUnsafeBufferPointer { buffer in
                unsafe cv8_image_import(raw, cv8_bytes(bytes: buffer.baseAddress ?? emptyBytes, count: buffer.count))
            }
        }
        guard let made = unsafe made else { return nil }
        unsafe self.image = made
        self.operations = operations
        self.entries = entries
        self.snapshotBytes = unsafe cv8_image_blob_size(made)
    }

    /// The snapshot with its key and checksum, for `init(exported:)`; empty without a snapshot.
    public var exported: [UInt8] {
        var count = 0
        guard let data = unsafe cv8_image_export(image, &count) else { return [] }
        // SAFETY: `data` is `count` bytes that are ours, freed here.
        defer { unsafe cv8_data_free(data) }
        return unsafe Array(UnsafeBufferPointer(start: data, count: count))
    }

    /// Names the snapshot that this build makes of a prelude: what `exported` begins with. Starts no engine.
    public static func key(name: String, source: String, operations: [String], entries: [String], rehearsal: String = "") -> [UInt8] {
        var key = [UInt8](repeating: 0, count: Int(CV8_KEY_BYTES))
        unsafe withPrelude([name, source, rehearsal], operations, entries) { raw in
            // SAFETY: the array has the room that the shim fills.
            unsafe key.withUnsafeMutableBufferPointer { unsafe cv8_image_key(raw, $0.baseAddress) }
        }
        return key
    }

    /// Whether `init(exported:)` would take the bytes. Starts no engine.
    public static func isSound(
        _ exported: [UInt8], name: String, source: String, operations: [String], entries: [String], rehearsal: String = ""
    ) -> Bool {
        unsafe withPrelude([name, source, rehearsal], operations, entries) { raw in
            // SAFETY: the bytes are borrowed for the call.
            unsafe exported.withUnsafeBufferPointer { buffer in
                unsafe cv8_image_is_sound(raw, cv8_bytes(bytes: buffer.baseAddress ?? emptyBytes, count: buffer.count))
            }
        }
    }

    deinit {
        // SAFETY: every isolate keeps its prelude alive, so none is left.
        unsafe cv8_image_free(image)
    }

    /// The index of an entry for `Isolate.call`.
    public func entry(_ name: String) -> Int? { entries.firstIndex(of: name) }
}

/// Lends a prelude's texts to the shim, which copies what it keeps.
private func withPrelude<R>(
    _ source: [String], _ operations: [String], _ entries: [String], _ body: (UnsafePointer<cv8_prelude>) -> R
) -> R {
    unsafe withTexts(source + operations + entries) { texts in
        var raw = unsafe cv8_prelude()
        unsafe raw.name = texts[0]
        unsafe raw.source = texts[1]
        unsafe raw.rehearsal = texts[2]
        unsafe raw.operations = texts.baseAddress.map { unsafe $0 + 3 }
        unsafe raw.operation_count = operations.count
        unsafe raw.entries = texts.baseAddress.map { unsafe $0 + 3 + operations.count }
        unsafe raw.entry_count = entries.count
        // SAFETY: the texts live as long as this closure.
        return unsafe body(&raw)
    }
}
