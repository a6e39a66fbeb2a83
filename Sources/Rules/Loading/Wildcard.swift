/// `*` stands for any run of characters, `?` for one. Linear in practice: one backtrack point is enough.
enum Wildcard {
    static func matches(_ name: String, pattern: String) -> Bool {
        let text = Array(name.utf8)
        let glob = Array(pattern.utf8)
        var t = 0
        var g = 0
        var star = -1
        var mark = 0
        while t < text.count {
            if g < glob.count, glob[g] == UInt8(ascii: "*") {
                star = g
                mark = t
                g += 1
            } else if g < glob.count, glob[g] == text[t] || glob[g] == UInt8(ascii: "?") {
                t += 1
                g += 1
            } else if star >= 0 {
                g = star + 1
                mark += 1
                t = mark
            } else {
                return false
            }
        }
        while g < glob.count, glob[g] == UInt8(ascii: "*") { g += 1 }
        return g == glob.count
    }
}
