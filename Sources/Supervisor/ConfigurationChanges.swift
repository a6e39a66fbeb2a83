import Reactor

/// What differs between two configurations, told by the names that their authors gave.
struct ConfigurationChanges {
    private let old: ConfigurationBundle
    private let new: ConfigurationBundle
    private(set) var lines: [String] = []

    init(from old: ConfigurationBundle, to new: ConfigurationBundle) {
        self.old = old
        self.new = new
        compareParts()
        compareOrder()
        compareFiles()
        if old.adminTokens != new.adminTokens { lines.append("changed the tokens of the admin address") }
        if old.adminTLS != new.adminTLS { lines.append("changed the certificates of the admin address") }
        if old.adminClients != new.adminClients { lines.append("changed the roles of certificates at the admin address") }
    }

    private struct Key: Hashable {
        var kind: String
        var name: String
        var group: String

        init(_ part: ConfigurationBundle.Part) {
            kind = part.kind
            name = part.name
            group = part.group
        }
    }

    /// `changed rule shop/login (shop, request rules)`
    private static func describe(_ part: ConfigurationBundle.Part) -> String {
        part.group.isEmpty ? "\(part.kind) \(part.name)" : "\(part.kind) \(part.name) (\(part.group))"
    }

    private mutating func compareParts() {
        let before = Dictionary(old.parts.map { (Key($0), $0.digest) }) { first, _ in first }
        let after = Set(new.parts.map { Key($0) })
        for part in new.parts {
            guard let digest = before[Key(part)] else {
                lines.append("added \(Self.describe(part))")
                continue
            }
            if digest != part.digest { lines.append("changed \(Self.describe(part))") }
        }
        for part in old.parts where !after.contains(Key(part)) { lines.append("removed \(Self.describe(part))") }
    }

    /// Rules run from top to bottom: the same rules in another order are another configuration.
    private mutating func compareOrder() {
        let before = Set(old.parts.map { Key($0) })
        let after = Set(new.parts.map { Key($0) })
        func order(_ bundle: ConfigurationBundle, _ others: Set<Key>) -> [String: [String]] {
            let common = bundle.parts.filter { !$0.group.isEmpty && others.contains(Key($0)) }
            return Dictionary(grouping: common, by: \.group).mapValues { $0.map(\.name) }
        }
        let was = order(old, after)
        for (group, names) in order(new, before).sorted(by: { $0.key < $1.key }) where was[group] != names {
            lines.append("changed the order of \(group)")
        }
    }

    private mutating func compareFiles() {
        let hasParts = !lines.isEmpty
        let before = Dictionary(old.files.map { ($0.path, $0.bytes) }, uniquingKeysWith: { $1 })
        for file in new.files where before[file.path] != file.bytes {
            // What a rule file says is told by its parts; only comments and the like are left when there are none.
            if hasParts, Self.isRuleFile(file.path) { continue }
            lines.append(before[file.path] == nil ? "added file \(file.path)" : "changed file \(file.path)")
        }
        let left = Set(new.files.map(\.path))
        lines += old.files.filter { !left.contains($0.path) }.map { "removed file \($0.path)" }
    }

    private static func isRuleFile(_ path: String) -> Bool { path.hasSuffix(".yaml") || path.hasSuffix(".yml") }
}
