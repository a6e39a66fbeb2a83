import Buffers

/// One node of a compressed radix tree. Its children stand side by side.
struct RadixNode: Sendable {
    /// Bytes after the one that led here, in `RadixForest.labels`.
    var label = Slots(0, 0)
    var children = Slots(0, 0)
    /// Rules that want exactly the text up to here, and rules that want a text that begins with it.
    var exact = Slots(0, 0)
    var prefix = Slots(0, 0)
}

/// Radix trees over byte strings in flat arrays: a lookup reads nodes along one text and allocates nothing.
struct RadixForest: Sendable {
    private var nodes: [RadixNode] = []
    /// The byte that leads to each node.
    private var firsts: [UInt8] = []
    private var labels: [UInt8] = []
    /// Ids of rules; each list ascends.
    private(set) var postings: [Int32] = []

    /// What a tree is made from: a text and the rules that want it.
    struct Entry {
        var text: [UInt8]
        var exact: [Int32] = []
        var prefix: [Int32] = []
    }

    mutating func list(_ rules: [Int32]) -> Slots {
        let start = postings.count
        postings += rules
        return Slots(start, postings.count)
    }

    /// - Parameter entries: sorted by text, each text once, at least one.
    /// - Returns: the root.
    mutating func plant(_ entries: [Entry]) -> Int32 {
        let root = nodes.count
        nodes.append(RadixNode())
        firsts.append(0)
        var waiting = [(node: root, entries: entries.indices, depth: 0)]
        var next = 0
        while next < waiting.count {
            let (node, range, depth) = waiting[next]
            next += 1
            let end = common(entries, range, from: depth)
            let label = labels.count
            labels += entries[range.lowerBound].text[depth..<end]
            nodes[node].label = Slots(label, labels.count)
            var rest = range
            if entries[range.lowerBound].text.count == end {
                nodes[node].exact = list(entries[range.lowerBound].exact)
                nodes[node].prefix = list(entries[range.lowerBound].prefix)
                rest = range.dropFirst()
            }
            let first = nodes.count
            var from = rest.lowerBound
            while from < rest.upperBound {
                let byte = entries[from].text[end]
                let to = rest[from...].firstIndex { entries[$0].text[end] != byte } ?? rest.upperBound
                waiting.append((nodes.count, from..<to, end + 1))
                nodes.append(RadixNode())
                firsts.append(byte)
                from = to
            }
            nodes[node].children = Slots(first, nodes.count)
        }
        return Int32(root)
    }

    /// How far the texts of a sorted range are the same: as far as its first and its last are.
    private func common(_ entries: [Entry], _ range: Range<Int>, from depth: Int) -> Int {
        let (first, last) = (entries[range.lowerBound].text, entries[range.upperBound - 1].text)
        var end = depth
        while end < first.count, end < last.count, first[end] == last[end] { end += 1 }
        return end
    }

    /// Gives `found` each list of rules that want `text` or something it begins with.
    @inline(__always)
    func walk(_ text: borrowing Span<UInt8>, from root: Int32, _ found: (Slots) -> Void) {
        var node = Int(root)
        var at = 0
        while true {
            let label = nodes[node].label
            let length = Int(label.count)
            guard text.count &- at >= length else { return }
            for offset in 0..<length where labels[Int(label.start) &+ offset] != text[at &+ offset] { return }
            at &+= length
            if nodes[node].prefix.count > 0 { found(nodes[node].prefix) }
            if at == text.count {
                if nodes[node].exact.count > 0 { found(nodes[node].exact) }
                return
            }
            guard let child = child(of: node, text[at]) else { return }
            node = child
            at &+= 1
        }
    }

    private func child(of node: Int, _ byte: UInt8) -> Int? {
        var low = nodes[node].children.indices.lowerBound
        let end = nodes[node].children.indices.upperBound
        var high = end
        while low < high {
            let middle = (low &+ high) / 2
            if firsts[middle] < byte { low = middle &+ 1 } else { high = middle }
        }
        return low < end && firsts[low] == byte ? low : nil
    }
}
