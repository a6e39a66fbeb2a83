import Reactor

/// The startup snapshot of this build: made by the first worker that ever started, kept on disk, handed to all others.
///
/// The supervisor never runs it. V8 trusts a snapshot, so one is taken only from this user's own folder, and from a
/// worker only if there was none when the worker was born and before it ran anybody's code (`WorkerContext.keep`); key and
/// checksum are looked at here and by the worker that uses it.
struct SnapshotShelf {
    /// Bytes; ours have about one million.
    private static let limit = 64 << 20

    let name: String
    private let key: [UInt8]
    private let folder: String?
    private let isSound: @Sendable ([UInt8]) -> Bool
    /// Sealed.
    private(set) var memory: SharedDescriptor?

    /// - Parameters:
    ///   - key: what a snapshot of this build begins with; empty for no snapshots at all.
    ///   - folder: nil: nothing is kept on disk.
    ///   - isSound: whether bytes are a whole snapshot of this build.
    init(key: [UInt8], folder: String?, isSound: @escaping @Sendable ([UInt8]) -> Bool) {
        self.key = key
        self.isSound = isSound
        self.folder = folder
        name = "snapshot-" + key.prefix(16).map { hexadecimal($0) }.joined()
        guard !key.isEmpty, let folder, let bytes = try? CacheFolder.read(name, in: folder, limit: Self.limit) else { return }
        adopt(bytes)
    }

    /// False when it is of another build or damaged.
    @discardableResult
    private mutating func adopt(_ bytes: [UInt8]) -> Bool {
        guard isSound(bytes), let sealed = try? SealedMemory.create(name: "sluice-snapshot", bytes)
        else { return false }
        memory = SharedDescriptor(sealed)
        return true
    }

    /// Takes what a worker made. Returns what went wrong on the way to the disk, which harms nobody.
    mutating func take(_ descriptor: borrowing OwnedDescriptor) -> String? {
        guard !key.isEmpty, memory == nil, let bytes = try? SealedMemory.read(descriptor), bytes.count <= Self.limit, adopt(bytes) else { return nil }
        guard let folder else { return nil }
        do throws(SystemError) {
            try CacheFolder.write(name, bytes, in: folder, replacing: "snapshot-")
            return nil
        } catch {
            return "\(error)"
        }
    }
}

/// A descriptor that a copyable value may hold.
final class SharedDescriptor {
    let descriptor: OwnedDescriptor
    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
}

private func hexadecimal(_ byte: UInt8) -> String {
    let text = String(byte, radix: 16)
    return text.count == 1 ? "0" + text : text
}

extension Supervisor {
    /// A worker had to make a snapshot.
    func keepSnapshot(of worker: WorkerProcess, _ descriptor: consuming OwnedDescriptor?) {
        // Later than that, what it sends may be a hook's.
        guard worker.state == .starting, !worker.hadSnapshot, !worker.gaveSnapshot, let descriptor else { return }
        worker.gaveSnapshot = true
        if let failure = snapshots.take(descriptor) { log.info("snapshot", "the startup snapshot is not kept on disk: \(failure)") }
    }
}
