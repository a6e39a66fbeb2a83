import Buffers
internal import CCodings

/// Why a body could not be coded.
public struct CodingError: Error, Sendable, Equatable {
    /// For logs.
    public let note: StaticString

    public static func == (a: CodingError, b: CodingError) -> Bool { a.note.description == b.note.description }
}

/// One stream of a content coding.
@safe public final class Coder {
    enum Mode: Int32 {
        case run = 0
        /// Everything given so far becomes readable on the other side.
        case flush = 1
        /// The stream ends with what is given.
        case finish = 2
    }
    enum State { case wantsInput, wantsRoom, ended }

    let coding: ContentCoding
    let decodes: Bool
    private let stream: OpaquePointer
    private(set) var bytesIn = 0
    private(set) var bytesOut = 0

    /// nil when the library refuses, for want of memory.
    init?(_ coding: ContentCoding, decodes: Bool) {
        self.coding = coding
        self.decodes = decodes
        let number = Int32(coding.rawValue)
        // SAFETY: returns an object that this one owns, or NULL.
        guard let stream = unsafe decodes ? sluice_decoder_new(number) : sluice_encoder_new(number, Coder.level(coding)) else { return nil }
        unsafe self.stream = stream
    }

    // SAFETY: the last use of the stream.
    deinit { unsafe sluice_coder_free(stream) }

    /// Fast settings: the gateway codes while the client waits.
    private static func level(_ coding: ContentCoding) -> Int32 {
        switch coding {
        case .gzip, .deflate: 5
        case .brotli: 4
        case .zstd: 3
        }
    }

    func reset() -> Bool {
        bytesIn = 0
        bytesOut = 0
        // SAFETY: the stream is alive.
        return unsafe sluice_coder_reset(stream) != 0
    }

    /// Takes input and writes output to `chain`, as far as one piece of room of the writer goes.
    /// - Returns: how many bytes were taken, and what is needed next.
    func step(
        _ input: borrowing Span<UInt8>, _ mode: Mode, _ writer: inout SlabWriter, _ chain: inout Chain
    ) throws(CodingError) -> (consumed: Int, state: State) {
        var consumed = 0
        let stream = unsafe self.stream
        let result = unsafe input.withUnsafeBufferPointer { bytes in
            unsafe writer.write(to: &chain) { room in
                var produced = 0
                // SAFETY: C reads at most `bytes.count` and writes at most `room.count` bytes, and keeps no pointer.
                let result = unsafe sluice_coder_step(
                    stream, mode.rawValue, bytes.baseAddress, bytes.count, &consumed, room.baseAddress, room.count, &produced)
                bytesOut += produced
                return (produced, result)
            }
        }
        bytesIn += consumed
        switch result {
        case Int32(SLUICE_STEP_WANTS_INPUT): return (consumed, .wantsInput)
        case Int32(SLUICE_STEP_WANTS_ROOM): return (consumed, .wantsRoom)
        case Int32(SLUICE_STEP_ENDED): return (consumed, .ended)
        default: throw CodingError(note: "the body is not what its Content-Encoding says")
        }
    }
}

/// The coders of one worker: a bound on those at work, and idle ones for reuse.
public final class CoderPool {
    /// Coders at work at once. One takes up to 2 MiB.
    public static let limit = 256
    private static let kept = 16
    private var idle: [Coder] = []
    public private(set) var working = 0

    public init() {}

    /// nil when too many are at work: the body then goes as it is.
    func take(_ coding: ContentCoding, decodes: Bool) -> Coder? {
        guard working < CoderPool.limit else { return nil }
        if let index = idle.lastIndex(where: { $0.coding == coding && $0.decodes == decodes }) {
            working += 1
            return idle.remove(at: index)
        }
        guard let coder = Coder(coding, decodes: decodes) else { return nil }
        working += 1
        return coder
    }

    func giveBack(_ coder: Coder) {
        working -= 1
        if idle.count < CoderPool.kept, coder.reset() { idle.append(coder) }
    }
}
