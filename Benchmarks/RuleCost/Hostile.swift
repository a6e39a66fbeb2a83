import Rules

/// Files made to hurt whoever reads them, 1 MiB each.
enum Hostile {
    static let size = 1 << 20

    static let files: [(name: String, bytes: [UInt8])] = [
        ("alias bomb", aliasBomb()),
        ("many aliases", fill("sluice: 1\nx-a: &a [b]\nx-b: [", "*a,", "]\n")),
        ("flow nesting", fill("sluice: 1\nx-a: ", "[", "")),
        ("block nesting", fill("sluice: 1\nx-a:\n  ", "- ", "a\n")),
        ("deep maps", deepMaps()),
        ("one scalar", fill("sluice: 1\nx-a: \"", "a", "\"\n")),
        ("many scalars", fill("sluice: 1\nx-a: [", "aaaaaaaa,", "]\n")),
        ("many keys", manyKeys()),
        ("one key again and again", fill("sluice: 1\n", "limits: 1234\n", "")),
        ("invalid UTF-8 at the end", fill("sluice: 1\nx-a: b\n", "# comment comment comment\n", "x-b: \u{1}", extra: [0xC3, 0x28])),
        ("control characters", fill("sluice: 1\n", "\u{1}", "")),
        ("noise", noise()),
        ("one expression", expression()),
        ("many wrong rules", wrongRules()),
    ]

    private static func fill(_ head: String, _ piece: String, _ tail: String, extra: [UInt8] = []) -> [UInt8] {
        var bytes = Array(head.utf8)
        let end = Array(tail.utf8) + extra
        let unit = Array(piece.utf8)
        bytes.reserveCapacity(size)
        while bytes.count + unit.count + end.count <= size { bytes += unit }
        return bytes + end
    }

    private static func aliasBomb() -> [UInt8] {
        var text = "sluice: 1\nx-0: &x0 [a,a,a,a,a,a,a,a,a,a]\n"
        for level in 1...60 {
            text += "x-\(level): &x\(level) [\(Array(repeating: "*x\(level - 1)", count: 10).joined(separator: ","))]\n"
        }
        return fill(text + "x-z: [*x60, *x60]\n", "# padding padding padding padding\n", "")
    }

    private static func deepMaps() -> [UInt8] {
        var text = "sluice: 1\n"
        var level = 1
        while text.utf8.count < size {
            text += String(repeating: " ", count: level) + "key:\n"
            level += 1
        }
        return Array(text.utf8)
    }

    private static func manyKeys() -> [UInt8] {
        var text = "sluice: 1\n"
        var number = 0
        while text.utf8.count < size {
            text += "key\(number): value\n"
            number += 1
        }
        return Array(text.utf8)
    }

    private static func noise() -> [UInt8] {
        var random = SplitMix(state: 3)
        return (0..<size).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    private static func expression() -> [UInt8] {
        fill("sluice: 1\nsites:\n- name: a\n  hosts: [\"*\"]\n  request:\n  - when: >\n", "      path == \"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" or\n", "      true\n    do: [stop]\n")
    }

    private static func wrongRules() -> [UInt8] {
        fill(
            "sluice: 1\nsites:\n- name: a\n  hosts: [\"*\"]\n  request:\n",
            "  - {when: client.pi in $offic and status == 404, do: [{set_heder: {A: b}}, {route: nowhere}]}\n", "")
    }
}
