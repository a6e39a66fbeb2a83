import Buffers
import Isolates

/// What of a function decides which isolates may be made ahead for it.
public struct SpareKind: Hashable, Sendable {
    public let heapBytes: Int
    public init(_ limits: HookLimits) { heapBytes = limits.memoryBytes }
}

/// An isolate with the Web API and no function in it. Made on any thread, used by one.
public final class HookSpare: Sendable {
    public let kind: SpareKind
    let isolate: SpareIsolate

    /// Takes milliseconds; nil when there is no memory for it.
    public init?(_ kind: SpareKind) {
        self.kind = kind
        var limits = IsolateLimits()
        limits.heapBytes = kind.heapBytes
        guard let made = try? SpareIsolate(prelude: try HookPrelude.shared(), limits: limits) else { return nil }
        isolate = made
    }
}

/// Bytecode of functions, made without running them: what spares the first call of a function the parsing.
public enum HookBytecode {
    /// For each table of modules, bytecode by path. Takes as long as parsing does, and some milliseconds; on any thread.
    public static func make(_ tables: [[String: String]]) -> [[String: [UInt8]]] {
        guard !tables.isEmpty, let prelude = try? HookPrelude.shared(),
            let isolate = try? Isolate(name: "(bytecode)", prelude: prelude, operations: NativeOperations())
        else { return tables.map { _ in [:] } }
        var made: [[String: [UInt8]]] = []
        for modules in tables {
            var caches: [String: [UInt8]] = [:]
            for (path, text) in modules where !path.hasSuffix(".json") {
                let bytes = isolate.bytecode(of: path, text)
                if !bytes.isEmpty { caches[path] = bytes }
            }
            made.append(caches)
        }
        return made
    }
}

/// The startup snapshot as it goes from process to process.
public enum HookSnapshot {
    static let offered = Guarded<[UInt8]>([])

    /// What names the snapshot of this build.
    public static func key() -> [UInt8] {
        Prelude.key(name: HookPrelude.name, source: HookPrelude.source, operations: HookPrelude.operations, entries: HookPrelude.entries,
            rehearsal: HookPrelude.rehearsal)
    }

    /// Whether it is a snapshot of this build, and whole. Does not start V8.
    public static func isSound(_ bytes: [UInt8]) -> Bool {
        Prelude.isSound(
            bytes, name: HookPrelude.name, source: HookPrelude.source, operations: HookPrelude.operations, entries: HookPrelude.entries,
            rehearsal: HookPrelude.rehearsal)
    }

    /// To be called before anything else of this room: what `made()` gave in another process of this program.
    /// It is not used when it is of another build.
    public static func offer(_ bytes: [UInt8]) { offered.withLock { $0 = bytes } }

    /// The snapshot of this process, and whether it had to be made here.
    public static func made() -> (bytes: [UInt8], isNew: Bool)? {
        guard let prelude = try? HookPrelude.shared() else { return nil }
        return (prelude.exported, HookPrelude.isNew)
    }
}
