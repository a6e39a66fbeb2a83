import HTTP

/// Fields as bits.
struct FieldMask: Sendable {
    private var bits: UInt64

    static let none = FieldMask(bits: 0)
    static let all = FieldMask(bits: .max)

    private init(bits: UInt64) { self.bits = bits }

    init(_ fields: FieldID...) {
        // More fields than bits: the last bit stands for the rest.
        bits = fields.reduce(0) { $0 | 1 << UInt64(min($1.rawValue, 63)) }
    }

    mutating func insert(_ field: FieldID) { bits |= FieldMask(field).bits }
    func union(_ other: FieldMask) -> FieldMask { FieldMask(bits: bits | other.bits) }
    func covers(_ other: FieldMask) -> Bool { other.bits & ~bits == 0 }
    func meets(_ other: FieldMask) -> Bool { bits & other.bits != 0 }
}

/// One field that an index asks for, and the tree of what rules want it to be.
struct IndexSource: Sendable {
    var field: FieldSlot
    var lowercase: Bool
    var root: Int32
}

/// Which rules of one phase of one site a request can meet at all.
struct RuleIndex: Sendable {
    /// Of `Program.indexSources`.
    var sources: Slots
    /// Rules that every request has to be asked about.
    var rest: Slots
    /// Fields of the sources: when a rule changes one, what was found before is no longer true.
    var fields: FieldMask
}

extension Action.Kind {
    /// Fields that read differently afterwards.
    var changes: FieldMask {
        switch self {
        case .route, .split, .respond, .deny, .drop, .redirect, .log, .stop, .rateLimit, .limitBody, .compress, .replaceBody, .mirror: .none
        case .setStatus: FieldMask(.status)
        case .rewrite: FieldMask(.path, .query, .uri, .argument)
        case .setVariable: FieldMask(.variable)
        case .setHeader(let name, _), .addHeader(let name, _):
            name.lowercased() == "host" ? FieldMask(.host, .header, .responseHeader) : FieldMask(.header, .cookie, .responseHeader)
        case .removeHeader, .setCookie, .removeCookie: FieldMask(.header, .cookie, .responseHeader)
        // A hook may have changed anything.
        default: .all
        }
    }
}

/// The rules that a request can meet, in order: several ascending lists read as one.
struct Candidates: Sendable {
    private struct Cursor: Sendable {
        var rule: Int32
        var next: Int32
        var end: Int32
    }
    private var cursors: [Cursor] = []

    mutating func removeAll() { cursors.removeAll(keepingCapacity: true) }

    /// Adds what a list has from `first` on.
    mutating func add(_ list: Slots, of postings: [Int32], from first: Int32) {
        var low = list.indices.lowerBound
        let end = list.indices.upperBound
        if low < end, postings[low] < first {
            var high = end
            while low < high {
                let middle = (low &+ high) / 2
                if postings[middle] < first { low = middle &+ 1 } else { high = middle }
            }
        }
        guard low < end else { return }
        cursors.append(Cursor(rule: postings[low], next: Int32(low &+ 1), end: Int32(end)))
    }

    /// The first rule that has not been returned before.
    mutating func next(of postings: [Int32]) -> Int32? {
        guard var least = cursors.first?.rule else { return nil }
        for index in cursors.indices where cursors[index].rule < least { least = cursors[index].rule }
        var index = 0
        while index < cursors.count {
            if cursors[index].rule == least {
                guard cursors[index].next < cursors[index].end else {
                    cursors.swapAt(index, cursors.count &- 1)
                    cursors.removeLast()
                    continue
                }
                cursors[index].rule = postings[Int(cursors[index].next)]
                cursors[index].next &+= 1
            }
            index &+= 1
        }
        return least
    }
}
