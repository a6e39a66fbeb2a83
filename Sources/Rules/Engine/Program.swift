import Buffers
import HTTP
import Patterns

/// A range of an array.
struct Slots: Sendable {
    var start: Int32
    var count: Int32

    init(_ start: Int, _ end: Int) {
        self.start = Int32(start)
        count = Int32(end - start)
    }

    var indices: Range<Int> { Int(start)..<Int(start) + Int(count) }
}

/// One step of a condition: a machine with a single truth value. Jumps go forward only.
enum Instruction: Sendable {
    case test(Int32)
    case constant(Bool)
    case negate
    /// To this instruction, if the value is false (true).
    case jumpIfFalse(Int32)
    case jumpIfTrue(Int32)
}

/// A field with its name in the program's constants.
struct FieldSlot: Sendable {
    var id: FieldID
    /// For headers with a known name.
    var header = FieldName.other
    var name = ByteRange.empty
}

/// A comparison without anything that needs counting of references.
struct Test: Sendable {
    enum Right: Sendable {
        case flag
        case exists
        case text(ByteRange)
        case integer(Int)
        case boolean(Bool)
        case address(IPAddress)
        case field(FieldSlot, Comparison.Transform)
        /// Index into `Program.textSets`, `addressSets`, `patterns`.
        case texts(Int32)
        case addresses(Int32)
        case pattern(Int32)
        /// Ranges of `Program.integerRanges`.
        case integers(Slots)
    }
    var field: FieldSlot
    var type: ValueType
    var transform = Comparison.Transform.none
    var any = false
    var operation = Comparison.Operator.equal
    var right: Right
}

/// What a text must have before it is worth asking the pattern: most texts have not.
struct PatternGuard: Sendable {
    var prefix = ByteRange.empty
    var required = ByteRange.empty
}

/// A group that the rule's templates use.
struct CaptureSource: Sendable {
    var field: FieldSlot
    var transform: Comparison.Transform
    var pattern: Int32
    /// Number of the group, and where its text goes.
    var group: Int32
    var slot: Int32
}

enum Piece: Sendable {
    case literal(ByteRange)
    case field(FieldSlot)
    case capture(Int32)
}

/// A template: pieces, or one constant.
struct Value: Sendable {
    var pieces: Slots
    /// The whole text when nothing in it varies.
    var constant: ByteRange?
}

struct HeaderValue: Sendable {
    var id: FieldName
    var name: ByteRange
    var value: Value
}

struct PreparedReply: Sendable {
    var status: UInt16
    var headers: Slots
    var body: Value?
    var isJSON: Bool
}

struct CompiledCookie: Sendable {
    var name: ByteRange
    var value: Value
    var attributes: ByteRange
}

enum Operation: Sendable {
    case route(Int32)
    /// Weights as running sums in `Program.weights`.
    case split(FieldSlot?, Slots)
    case respond(Int32)
    case deny(UInt16)
    case drop
    case redirect(to: Value, status: UInt16)
    case rewrite(path: Value?, query: Value?)
    case setHeader(HeaderValue)
    case addHeader(HeaderValue)
    case removeHeader(FieldName, ByteRange)
    case setStatus(UInt16)
    case setVariable(name: ByteRange, Value)
    case log(Value)
    /// Index into `Generation.limits`.
    case limit(Int32)
    case limitBody(Int)
    case retry(RetryPolicy)
    case timeout(AttemptTimes)
    /// Indices into `Generation.compressions`, `Generation.replacements`.
    case compress(Int32)
    case replaceBody(Int32)
    case mirror(upstream: Int32, percent: Int32)
    case setCookie(CompiledCookie)
    case removeCookie(ByteRange)
    case run(function: Int32, arguments: ByteRange)
    case stop
}

struct CompiledRule: Sendable {
    var condition: Slots
    var operations: Slots
    var captures: Slots
    var shadow: Bool
    /// Has a `rate_limit`, which counts in shadow mode too.
    var limits = false
}

/// The rules of one phase of one site.
struct CompiledPhase: Sendable {
    var rules: Slots
    /// Of `Program.indexes`, or -1: then each rule is asked in turn.
    var index: Int32
}

struct CompiledSite: Sendable {
    var name: ByteRange
    var upstream: Int32
    var request: CompiledPhase
    var response: CompiledPhase
    var error: CompiledPhase

    func phase(_ phase: Phase) -> CompiledPhase {
        switch phase {
        case .request: request
        case .response: response
        case .error: error
        }
    }
}

/// Everything that evaluation reads: flat arrays that refer to each other by index.
struct Program: Sendable {
    var constants: [UInt8] = []
    var instructions: [Instruction] = []
    var tests: [Test] = []
    var integerRanges: [ClosedRange<Int>] = []
    var textSets: [ByteTable] = []
    var addressSets: [AddressSet] = []
    var patterns: [Pattern] = []
    /// One for each pattern.
    var patternGuards: [PatternGuard] = []
    var captures: [CaptureSource] = []
    var pieces: [Piece] = []
    var headers: [HeaderValue] = []
    var replies: [PreparedReply] = []
    var weights: [(upTo: Int, upstream: Int32)] = []
    var operations: [Operation] = []
    /// What each operation changes.
    var changes: [FieldMask] = []
    /// Keys of rate limits.
    var limitFields: [FieldSlot] = []
    var rules: [CompiledRule] = []
    var sites: [CompiledSite] = []
    var indexes: [RuleIndex] = []
    var indexSources: [IndexSource] = []
    var forest = RadixForest()
    /// What decides on the server of an upstream; nil: nothing in the request does.
    var balanceKeys: [Value?] = []
    /// Names of upstreams, for `origin.upstream`.
    var upstreamNames: [ByteRange] = []
    /// Some rule reads `origin.header.*`.
    var readsOriginHeaders = false
    /// Some rule reads `client.rtt_us`.
    var readsRoundTrip = false
    /// Most groups one rule uses.
    var captureSlots = 0
}
