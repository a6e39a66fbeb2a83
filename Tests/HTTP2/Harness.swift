import Buffers
import HTTP
import Testing

@testable import HTTP2

/// A stream that remembers what it heard and does what its test told it.
final class RecordingStream: HTTP2Stream {
    var events: [String] = []
    var received: [UInt8] = []
    var trailerFields: [(String, String)] = []
    var endedCleanly = false
    var closedCode: HTTP2ErrorCode?
    var needs = 0
    var keeps = Chain()
    weak var harness: Harness?

    override func headComplete(endOfStream: Bool) {
        events.append("head")
        harness?.announced.append(self)
        harness?.onHead?(self)
    }

    override func headRefused(_ error: ErrorKind) {
        events.append("refused \(error.name)")
        harness?.announced.append(self)
        super.headRefused(error)
    }

    override func dataArrived(_ slice: consuming Slice) {
        received += slice.bytes.array()
        let count = slice.count
        if harness?.keepsBody == true { keeps.append(slice) }
        if harness?.consumes == true { consumed(count) }
    }

    override func endOfRequest(trailers: borrowing Head) {
        events.append("end")
        endedCleanly = true
        for field in trailers.fields { trailerFields.append((trailers.text(field.name), trailers.text(field.value))) }
        harness?.onEnd?(self)
    }

    override func needsBody() {
        needs += 1
        harness?.onNeedsBody?(self)
    }

    override func closed(_ code: HTTP2ErrorCode) {
        events.append("closed")
        closedCode = code
        if harness?.endsWork != false { workEnded() }
    }

    func field(_ name: String) -> String? { head.text(of: name) }

    /// Answers 200, with a body when there is one.
    func answer(_ bytes: [UInt8] = [], finish ends: Bool = true, fields: [(String, String)] = []) {
        var response = Head()
        response.status = 200
        for (name, value) in fields { response.add(name: Array(name.utf8).span, value: Array(value.utf8).span) }
        sendResponse(response, endOfStream: bytes.isEmpty && ends)
        if !bytes.isEmpty { give(bytes) }
        if ends { finish() }
    }

    func give(_ bytes: [UInt8]) {
        guard let harness else { return }
        var chain = Chain()
        chain.append(copying: bytes.span, from: harness.pool)
        appendBody(&chain)
    }
}

private final class TestSession: HTTP2Session {
    weak var harness: Harness?

    init(_ harness: Harness, _ pool: SlabPool, _ limits: HTTP2Limits) {
        self.harness = harness
        super.init(pool: pool, limits: limits)
    }

    override func makeStream() -> HTTP2Stream {
        let stream = RecordingStream()
        stream.harness = harness
        return stream
    }
    override func recycle(_ stream: HTTP2Stream) { harness?.recycled += 1 }
    override func outputWanted() { harness?.wanted += 1 }
}

/// A session in memory, with a client made of raw frames.
final class Harness {
    let pool = SlabPool()
    private(set) var session: HTTP2Session! = nil
    private var input: ReadBuffer
    private var output: OutputBuffer
    private let headers = HeaderBlockReader()
    var now: UInt64 = 1_000_000

    var announced: [RecordingStream] = []
    var recycled = 0
    var wanted = 0
    var consumes = true
    var keepsBody = false
    var endsWork = true
    var onHead: ((RecordingStream) -> Void)?
    var onEnd: ((RecordingStream) -> Void)?
    var onNeedsBody: ((RecordingStream) -> Void)?

    init(greets: Bool = true, _ change: (inout HTTP2Limits) -> Void = { _ in }) {
        var limits = HTTP2Limits()
        change(&limits)
        input = ReadBuffer(pool: pool)
        output = OutputBuffer(pool: pool)
        session = TestSession(self, pool, limits)
        if greets {
            send(raw: preface + Frame.settings().bytes + Frame(type: Frame.Kind.settings, flags: 1, stream: 0).bytes)
            _ = frames()
        }
    }

    deinit { session.close() }

    /// Gives bytes to the session as one read after the other; true while it goes on.
    @discardableResult
    func send(raw bytes: [UInt8]) -> Bool {
        var at = 0
        while at < bytes.count {
            // SAFETY: at most the free room is copied.
            unsafe input.withFreeSpace { free in
                let count = min(free.count, bytes.count - at)
                unsafe free.copyBytes(from: bytes[at..<(at + count)])
                at += count
                return count
            }
            if case .failed = session.receive(&input, now: now) { return false }
        }
        return true
    }

    @discardableResult
    func send(_ frames: Frame...) -> Bool { send(raw: frames.flatMap(\.bytes)) }

    /// What the session writes, at most `limit` rounds of `writeOutput`.
    func frames(rounds: Int = 1000) -> [Frame] {
        var bytes: [UInt8] = []
        for _ in 0..<rounds where session.wantsWrite {
            session.writeOutput(&output)
            while let slice = output.popFirst() { bytes += slice.bytes.array() }
            output.dropFirst(0)
        }
        return Frame.parse(bytes)
    }

    /// Bytes of one `writeOutput`, not taken.
    func writeOnce() -> Int {
        session.writeOutput(&output)
        return output.byteCount
    }

    func fields(_ frame: Frame) -> [(name: String, value: String)] { headers.decode(frame.payload) ?? [] }

    /// Sends `frame` again and again until the session ends the connection; nil when it never does.
    func flood(_ most: Int, _ frame: (Int) -> [Frame]) -> Int? {
        for turn in 0..<most {
            let goesOn = send(raw: frame(turn).flatMap(\.bytes))
            let written = frames()
            if !goesOn || written.contains(where: { $0.type == Frame.Kind.goAway }) {
                goAway = written.first { $0.type == Frame.Kind.goAway }?.code
                return turn + 1
            }
        }
        return nil
    }

    /// The code of the GOAWAY that ended a flood.
    private(set) var goAway: UInt32?

    func releaseBuffers() {
        input.releaseIfEmpty()
        output.releaseIfEmpty()
    }
}

func pattern(_ count: Int) -> [UInt8] {
    var value: UInt32 = 99
    return (0..<count).map { _ in
        value = value &* 1_664_525 &+ 1_013_904_223
        return UInt8(truncatingIfNeeded: value >> 24)
    }
}

/// Compares bodies without printing them.
func expectSame(_ one: [UInt8], _ other: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) {
    let same = one == other
    #expect(same, "\(one.count) bytes and \(other.count) bytes differ", sourceLocation: sourceLocation)
}
