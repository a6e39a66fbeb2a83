import Buffers
import HTTP
import HTTP1

/// Ends the run with a message: libFuzzer keeps the input.
public func require(_ condition: Bool, _ message: @autoclosure () -> String) {
    if !condition { fatalError(message()) }
}

/// The bytes libFuzzer gave, as an array that ends where they end.
public func input(_ start: UnsafePointer<UInt8>?, _ count: Int) -> [UInt8] {
    Array(UnsafeBufferPointer(start: start, count: count))
}

/// What became of a head, as a value that can be compared.
public struct Reading: Equatable {
    public var consumed = 0
    public var failure: ErrorKind?
    public var line: [[UInt8]] = []
    public var fields: [[[UInt8]]] = []
    public var body = BodyLength.none
    public var flags: [Bool] = []

    public init() {}

    public init(_ head: borrowing Head, consumed: Int, flags: [Bool]) {
        self.consumed = consumed
        self.flags = flags
        body = head.body
        line = [
            head.bytes(head.methodName).array(), head.bytes(head.authority).array(), head.bytes(head.path).array(),
            head.bytes(head.query).array(), head.bytes(head.reason).array(),
            [head.hasQuery ? 1 : 0, head.version.rawValue, head.method.rawValue, UInt8(head.status & 255)],
        ]
        for field in head.fields {
            fields.append([head.bytes(field.name).array(), head.bytes(field.value).array(), [field.id.rawValue]])
        }
    }
}

/// Where pieces of `count` bytes end: every `step` bytes.
public func cuts(_ count: Int, step: Int) -> [Int] { Array(stride(from: step, to: count, by: step)) + [count] }

public func readRequest(_ bytes: [UInt8], cuts: [Int]) -> Reading? {
    var parser = RequestParser(allowsConnect: true)
    var head = Head()
    for end in cuts {
        switch parser.parse(bytes.span.extracting(first: end), into: &head) {
        case .needMore: continue
        case .failed(let kind, _):
            var reading = Reading()
            reading.failure = kind
            _ = Reading(head, consumed: 0, flags: [])
            return reading
        case .complete(let consumed):
            return Reading(head, consumed: consumed, flags: [parser.persistent, parser.expectsContinue, parser.wantsUpgrade])
        }
    }
    return nil
}

public func readResponse(_ bytes: [UInt8], cuts: [Int], answering method: Method) -> Reading? {
    var parser = ResponseParser()
    var head = Head()
    for end in cuts {
        switch parser.parse(bytes.span.extracting(first: end), into: &head, answering: method) {
        case .needMore: continue
        case .failed(let kind, _):
            var reading = Reading()
            reading.failure = kind
            return reading
        case .complete(let consumed): return Reading(head, consumed: consumed, flags: [parser.persistent])
        }
    }
    return nil
}

/// A head in pieces is read as it is whole. One that never ends may be refused earlier whole: at its end at the latest.
public func requireOneReading(_ bytes: [UInt8], step: Int, _ read: ([UInt8], [Int]) -> Reading?) -> Reading? {
    let whole = read(bytes, [bytes.count])
    let pieces = read(bytes, cuts(bytes.count, step: step))
    if pieces == nil, whole?.failure != nil {
        let ended = bytes + [13, 10, 13, 10]
        require(read(ended, cuts(ended.count, step: step)) == whole, "a head that ends late is read differently")
    } else {
        require(pieces == whole, "a head in pieces is read differently: \(String(describing: pieces)) and \(String(describing: whole))")
    }
    return whole
}

/// No accepted field can end a line, and names are tokens.
public func requireCleanFields(_ reading: Reading) {
    for field in reading.fields {
        require(!field[0].isEmpty && field[0].allSatisfy { ASCIISet.token.contains($0) }, "a field name that is no token")
        require(field[1].allSatisfy { $0 == 9 || $0 >= 32 && $0 != 127 }, "a control byte in a field value")
        require(field[1].first.map { $0 != 32 && $0 != 9 } ?? true, "white space before a value")
        require(field[1].last.map { $0 != 32 && $0 != 9 } ?? true, "white space behind a value")
    }
}
