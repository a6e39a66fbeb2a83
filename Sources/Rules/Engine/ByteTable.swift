import Buffers

/// Finds byte strings without making a `String`: open addressing over ranges of one text.
struct ByteTable: Sendable {
    private struct Entry: Sendable {
        var key: ByteRange
        var hash: UInt32
        var value: Int32
    }
    private var text: [UInt8] = []
    private var entries: [Entry] = []
    private var slots: [Int32]

    /// Later duplicates of a key are ignored. Keys of a table that ignores case must be lower case already.
    init(_ pairs: [(key: [UInt8], value: Int32)]) {
        var capacity = 8
        while capacity < pairs.count * 2 { capacity *= 2 }
        slots = Array(repeating: -1, count: capacity)
        for pair in pairs where find(pair.key.span) == nil {
            let range = ByteRange(start: text.count, count: pair.key.count)
            let hash = Self.hash(pair.key.span, from: 0)
            text += pair.key
            var slot = Int(hash) & (slots.count - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = Int32(entries.count)
            entries.append(Entry(key: range, hash: hash, value: pair.value))
        }
    }

    var isEmpty: Bool { entries.isEmpty }

    /// The value of `key`, or of its end from `offset` on. With `ignoringCase`, ASCII letters match lower-case keys.
    func find(_ key: borrowing Span<UInt8>, from offset: Int = 0, ignoringCase: Bool = false) -> Int32? {
        guard !entries.isEmpty else { return nil }
        let hash = ignoringCase ? Self.lowercaseHash(key, from: offset) : Self.hash(key, from: offset)
        var slot = Int(hash) & (slots.count - 1)
        while slots[slot] >= 0 {
            let entry = entries[Int(slots[slot])]
            if entry.hash == hash, Int(entry.key.count) == key.count - offset, matches(entry.key, key, offset, ignoringCase) {
                return entry.value
            }
            slot = (slot + 1) & (slots.count - 1)
        }
        return nil
    }

    private func matches(_ range: ByteRange, _ key: borrowing Span<UInt8>, _ offset: Int, _ ignoringCase: Bool) -> Bool {
        for index in 0..<Int(range.count) {
            let byte = key[offset + index]
            if text[Int(range.start) + index] != (ignoringCase ? lowercased(byte) : byte) { return false }
        }
        return true
    }

    /// FNV-1a. The keys come from the configuration, so nobody outside can make them collide.
    private static func hash(_ key: borrowing Span<UInt8>, from offset: Int) -> UInt32 {
        var hash: UInt32 = 2_166_136_261
        for index in offset..<key.count { hash = (hash ^ UInt32(key[index])) &* 16_777_619 }
        return hash
    }

    private static func lowercaseHash(_ key: borrowing Span<UInt8>, from offset: Int) -> UInt32 {
        var hash: UInt32 = 2_166_136_261
        for index in offset..<key.count { hash = (hash ^ UInt32(lowercased(key[index]))) &* 16_777_619 }
        return hash
    }
}

/// Finds the site of a host: exact name, then the longest wildcard, then the site for every other host.
struct HostTable: Sendable {
    /// RFC 1035: a longer name cannot exist, so it matches nothing by name.
    private static let longestName = 255
    private let exact: ByteTable
    private let wildcards: ByteTable
    private let other: Int

    init(_ sites: [Site]) {
        var exact: [(key: [UInt8], value: Int32)] = []
        var wildcards: [(key: [UInt8], value: Int32)] = []
        var other = -1
        for (index, site) in sites.enumerated() {
            for host in site.hosts {
                switch host {
                case .exact(let name): exact.append((Array(name.utf8), Int32(index)))
                case .wildcard(let suffix): wildcards.append((Array(suffix.utf8), Int32(index)))
                case .any: if other < 0 { other = index }
                }
            }
        }
        self.exact = ByteTable(exact)
        self.wildcards = ByteTable(wildcards)
        self.other = other
    }

    /// - Parameter host: without port, any case, with or without a final dot.
    /// - Returns: the index of the site, or -1.
    func site(for host: borrowing Span<UInt8>) -> Int {
        guard host.count > 0, host.count <= Self.longestName else { return other }
        if host[host.count - 1] == UInt8(ascii: ".") { return named(host.extracting(0..<host.count - 1)) }
        return named(host)
    }

    private func named(_ host: borrowing Span<UInt8>) -> Int {
        if let site = exact.find(host, ignoringCase: true) { return Int(site) }
        guard !wildcards.isEmpty else { return other }
        var dot = 0
        while let next = host.firstIndex(of: UInt8(ascii: "."), from: dot) {
            if next > 0, let site = wildcards.find(host, from: next + 1, ignoringCase: true) { return Int(site) }
            dot = next + 1
        }
        return other
    }
}
