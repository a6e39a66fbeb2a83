/// The named parts of a configuration, for telling what a reload changes.
extension ConfigurationBuilder {
    mutating func addPart(_ kind: ConfigurationPart.Kind, _ name: String, _ node: YAMLNode, group: String = "") {
        var digest = NodeDigest()
        // Rules of a site are parts of their own.
        digest.add(node, leavingOut: kind == .site ? Set(Phase.allCases.map(\.name)) : [])
        configuration.parts.append(ConfigurationPart(kind: kind, name: name, digest: digest.value, group: group))
    }
}

/// FNV-1a over a YAML tree: what it says, not how it is laid out.
struct NodeDigest {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    private mutating func add(_ byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }

    mutating func add(_ node: YAMLNode, leavingOut: Set<String> = []) {
        switch node.content {
        case .scalar(let text, let style):
            add(style == .plain ? 1 : 2)
            for byte in text.utf8 { add(byte) }
            add(0)
        case .sequence(let nodes):
            add(3)
            for node in nodes { add(node) }
            add(4)
        case .mapping(let pairs):
            add(5)
            for pair in pairs where !leavingOut.contains(pair.key.scalar ?? "") {
                add(pair.key)
                add(pair.value)
            }
            add(6)
        }
    }
}
