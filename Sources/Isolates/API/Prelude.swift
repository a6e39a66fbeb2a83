import CV8

/// The JavaScript every isolate starts with, ready to start from. Made once per process, shared by all isolates.
///
/// `source` is the body of a function with one parameter, `native`: an object whose methods are `operations`.
/// It returns an object with the functions named in `entries`, which Swift may call by their index.
/// `native` is reachable from nowhere else, so hook code sees it only if the prelude gives it away.
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
        name: String, source: String, operations: [String], entries: [String], snapshot: Bool = true
    ) throws(JSError) {
        V8Engine.start()
        var error: UnsafeMutablePointer<cv8_error>?
        let made: OpaquePointer? = unsafe withTexts([name, source] + operations + entries) { texts in
            var raw = unsafe cv8_prelude()
            unsafe raw.name = texts[0]
            unsafe raw.source = texts[1]
            unsafe raw.operations = texts.baseAddress.map { unsafe $0 + 2 }
            unsafe raw.operation_count = operations.count
            unsafe raw.entries = texts.baseAddress.map { unsafe $0 + 2 + operations.count }
            unsafe raw.entry_count = entries.count
            // SAFETY: the texts live as long as this closure; the shim copies them.
            return unsafe cv8_image_make(&raw, snapshot, &error)
        }
        guard let made = unsafe made else { throw unsafe JSError(taking: error) }
        unsafe self.image = made
        self.operations = operations
        self.entries = entries
        self.snapshotBytes = unsafe cv8_image_blob_size(made)
    }

    deinit {
        // SAFETY: every isolate keeps its prelude alive, so none is left.
        unsafe cv8_image_free(image)
    }

    /// The index of an entry for `Isolate.call`.
    public func entry(_ name: String) -> Int? { entries.firstIndex(of: name) }
}
