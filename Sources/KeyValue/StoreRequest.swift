/// What every namespace holds at most, whatever keeps it.
public enum StoreLimits {
    /// Bytes of a key: what LMDB of Debian takes.
    public static let key = 511
    /// Bytes of metadata as JSON.
    public static let metadata = 1_024
    /// Bytes of a value that a namespace may allow at most.
    public static let value = 25 << 20
    /// Entries on one page of a list.
    public static let page = 1_000
    /// Requests of one hook call.
    public static let requestsOfCall = 1_000
}

/// What a hook asks of a namespace.
public struct StoreRequest: Sendable, Equatable {
    public enum Kind: UInt8, Sendable, CaseIterable { case get, put, delete, list }

    public var kind: Kind
    /// For a list: what names begin with.
    public var key: [UInt8]
    public var value: [UInt8] = []
    /// JSON text; empty for none.
    public var metadata: [UInt8] = []
    /// When the entry ends, in seconds since 1970; 0: never.
    public var expiration: UInt64 = 0
    /// Seconds that the entry lives from now on; 0: what `expiration` says.
    public var lifetime: UInt64 = 0
    /// For a list: only names that sort behind this one.
    public var after: [UInt8] = []
    /// For a list: entries at most.
    public var limit = StoreLimits.page

    public init(_ kind: Kind, key: [UInt8]) {
        self.kind = kind
        self.key = key
    }

    public var isWrite: Bool { kind == .put || kind == .delete }
    /// Bytes that wait while the request does.
    public var size: Int { key.count + value.count + metadata.count }

    /// Why the request cannot be carried out, in words for the hook; nil when it can.
    /// - Parameter largest: bytes that a value of this namespace may have.
    public func complaint(largest: Int) -> String? {
        guard kind != .list else {
            if key.count > StoreLimits.key || after.count > StoreLimits.key { return "a prefix or cursor is longer than \(StoreLimits.key) bytes" }
            return (1...StoreLimits.page).contains(limit) ? nil : "the limit of a list is from 1 to \(StoreLimits.page)"
        }
        if key.isEmpty { return "a key is not empty" }
        if key.count > StoreLimits.key { return "the key has \(key.count) bytes, at most \(StoreLimits.key) are allowed" }
        if metadata.count > StoreLimits.metadata { return "the metadata has \(metadata.count) bytes, at most \(StoreLimits.metadata) are allowed" }
        if value.count > largest { return "the value has \(value.count) bytes, at most \(largest) are allowed" }
        return nil
    }

    /// When an entry that is put now ends.
    public func end(now: UInt64) -> UInt64 { lifetime == 0 ? expiration : now &+ min(lifetime, 1 << 40) }
}

/// A value as it is kept.
public struct StoredEntry: Sendable, Equatable {
    public var value: [UInt8]
    public var metadata: [UInt8]
    /// Seconds since 1970; 0: never.
    public var expiration: UInt64

    public init(value: [UInt8], metadata: [UInt8] = [], expiration: UInt64 = 0) {
        self.value = value
        self.metadata = metadata
        self.expiration = expiration
    }

    public func isOver(_ now: UInt64) -> Bool { expiration != 0 && expiration <= now }
}

/// A part of a list, in the order of the names' bytes.
public struct StorePage: Sendable, Equatable {
    public struct Name: Sendable, Equatable {
        public var name: [UInt8]
        public var metadata: [UInt8]
        public var expiration: UInt64

        public init(name: [UInt8], metadata: [UInt8], expiration: UInt64) {
            self.name = name
            self.metadata = metadata
            self.expiration = expiration
        }
    }

    public var names: [Name] = []
    /// More follow behind this name; nil: that was all.
    public var next: [UInt8]?

    public init() {}
}

/// Why a namespace did not do what it was asked.
public struct StoreFailure: Error, Sendable, Equatable {
    public enum Kind: UInt8, Sendable, CaseIterable {
        /// The namespace's size, or the disk, is used up.
        case full
        /// Too much waits already.
        case busy
        case timeout
        /// Redis is not there.
        case unreachable
        /// The request is not allowed, or the store refused it.
        case refused
        /// A file or an answer that makes no sense.
        case broken
    }

    public var kind: Kind
    /// For the hook and the log; names neither keys nor values.
    public var message: String

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }
}

public enum StoreAnswer: Sendable, Equatable {
    /// There is no such entry.
    case missing
    case entry(StoredEntry)
    /// Written or deleted.
    case done
    case page(StorePage)
    case failed(StoreFailure)
}
