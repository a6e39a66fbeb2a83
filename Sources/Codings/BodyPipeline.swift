public import Buffers

/// What happens to one body on its way: decoded, replaced in, encoded; each or not.
public final class BodyPipeline {
    public struct Plan {
        public var decode: ContentCoding?
        public var search: SearchTexts?
        public var replacements: [[UInt8]] = []
        public var encode: ContentCoding?
        /// The body comes bit by bit and somebody waits for each: whatever is there is sent on.
        public var flushes = false

        public init() {}
        public var isEmpty: Bool { decode == nil && search == nil && encode == nil }
    }

    /// Between two stages at most.
    private static let between = 64 << 10
    /// Beyond so many bytes, a decoder's output may be at most `ratio` times its input.
    private static let freeBytes = 16 << 20
    private static let ratio = 200

    /// What goes on to the client.
    public var output = Chain()
    /// All of the body is in `output`, or was.
    public private(set) var isFinished = false
    public private(set) var bytesIn = 0
    public private(set) var bytesOut = 0

    private let coders: CoderPool
    private var writer: SlabWriter
    private var decoder: Coder?
    private var replacer: BodyReplacer?
    private var encoder: Coder?
    private var flushes = false
    private var decoded = Chain()
    private var replaced = Chain()
    private var decoderEnded = true
    private var replacerEnded = true
    /// The encoder has bytes that it has not written out.
    private var unflushed = false

    /// nil when too many coders are at work.
    public init?(_ plan: Plan, _ coders: CoderPool, _ pool: SlabPool) {
        self.coders = coders
        writer = SlabWriter(pool: pool)
        flushes = plan.flushes
        if let coding = plan.decode {
            guard let coder = coders.take(coding, decodes: true) else { return nil }
            decoder = coder
            decoderEnded = false
        }
        if let coding = plan.encode {
            guard let coder = coders.take(coding, decodes: false) else {
                if let decoder { coders.giveBack(decoder) }
                return nil
            }
            encoder = coder
        }
        if let search = plan.search {
            replacer = BodyReplacer(search, plan.replacements)
            replacerEnded = false
        }
    }

    /// Texts replaced so far.
    public var replacements: Int { replacer?.count ?? 0 }

    /// Gives the coders back; call once, when the exchange is over.
    public func close() {
        if let decoder { coders.giveBack(decoder) }
        if let encoder { coders.giveBack(encoder) }
        decoder = nil
        encoder = nil
        output.removeAll()
        decoded.removeAll()
        replaced.removeAll()
        writer.release()
    }

    /// Takes from `input` until it is empty or `output` holds `room` bytes.
    /// - Parameter ended: nothing more will come after `input`.
    public func run(_ input: inout Chain, ended: Bool, room: Int) throws(CodingError) {
        while !isFinished, output.byteCount < room {
            let before = output.byteCount
            let moved = try decode(&input, ended) || replace(&input, ended)
            let encoded = try encode(&input, ended, room)
            bytesOut += output.byteCount - before
            if !moved, !encoded { return }
        }
    }

    // MARK: Stages. Each answers whether it got further.

    private func decode(_ input: inout Chain, _ ended: Bool) throws(CodingError) -> Bool {
        guard let decoder, !decoderEnded, decoded.byteCount < BodyPipeline.between else { return false }
        guard ended || !input.isEmpty else { return false }
        // A body of nothing is no stream, and needs none.
        if input.isEmpty, decoder.bytesIn == 0 {
            decoderEnded = true
            return true
        }
        let isLast = ended && input.sliceCount <= 1
        let (consumed, state) = try decoder.step(input.firstBytes, isLast ? .finish : .run, &writer, &decoded)
        input.dropFirst(consumed)
        bytesIn += consumed
        if decoder.bytesOut > BodyPipeline.freeBytes, decoder.bytesOut / BodyPipeline.ratio > decoder.bytesIn {
            throw CodingError(note: "the body grows beyond all measure when it is decoded")
        }
        if state == .ended {
            decoderEnded = true
            // What follows the end of a stream is not part of the body.
            input.removeAll()
        }
        return consumed > 0 || state != .wantsInput || isLast
    }

    private func replace(_ input: inout Chain, _ ended: Bool) -> Bool {
        guard replacer != nil, !replacerEnded, replaced.byteCount < BodyPipeline.between else { return false }
        var moved = false
        if decoder != nil {
            while let slice = decoded.popFirst() {
                replacer?.take(slice, &writer, into: &replaced)
                moved = true
            }
        } else {
            while replaced.byteCount < BodyPipeline.between, let slice = input.popFirst() {
                bytesIn += slice.count
                replacer?.take(slice, &writer, into: &replaced)
                moved = true
            }
        }
        if decoderEnded, ended, decoded.isEmpty, decoder != nil || input.isEmpty {
            replacer?.finish(&writer, into: &replaced)
            replacerEnded = true
            moved = true
        }
        return moved
    }

    private func encode(_ input: inout Chain, _ ended: Bool, _ room: Int) throws(CodingError) -> Bool {
        if replacer != nil { return try encode(from: &replaced, ended: replacerEnded, room, counts: false) }
        if decoder != nil { return try encode(from: &decoded, ended: decoderEnded, room, counts: false) }
        return try encode(from: &input, ended: ended, room, counts: true)
    }

    private func encode(from source: inout Chain, ended: Bool, _ room: Int, counts: Bool) throws(CodingError) -> Bool {
        guard let encoder else {
            let moved = !source.isEmpty
            output.append(contentsOf: &source)
            if ended { isFinished = true }
            return moved
        }
        var moved = false
        while output.byteCount < room, !isFinished {
            guard ended || !source.isEmpty || flushes && unflushed else { break }
            let mode: Coder.Mode = ended && source.sliceCount <= 1 ? .finish : source.sliceCount <= 1 && flushes ? .flush : .run
            let (consumed, state) = try encoder.step(source.firstBytes, mode, &writer, &output)
            source.dropFirst(consumed)
            if counts { bytesIn += consumed }
            moved = true
            unflushed = mode == .run || state == .wantsRoom
            if state == .ended { isFinished = true }
        }
        return moved
    }
}
