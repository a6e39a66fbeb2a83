import HTTP1
import Testing

@Suite struct WebSocketFramesTests {
    private func frame(_ length: Int, masked: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = [0x82]
        let mask: UInt8 = masked ? 0x80 : 0
        if length < 126 {
            bytes.append(mask | UInt8(length))
        } else if length < 65536 {
            bytes += [mask | 126, UInt8(length >> 8), UInt8(length & 255)]
        } else {
            bytes += [mask | 127] + (0..<8).reversed().map { UInt8(truncatingIfNeeded: length >> ($0 * 8)) }
        }
        return bytes + (masked ? [1, 2, 3, 4] : []) + Array(repeating: 0x88, count: length)
    }

    private func pass(_ bytes: ArraySlice<UInt8>, _ frames: inout WebSocketFrames, stopping: Bool = false) -> Int {
        let copy = Array(bytes)
        return frames.pass(copy.span, stopping: stopping)
    }

    @Test(arguments: [0, 1, 125, 126, 65535, 65536, 70000], [false, true]) func aFrameEndsWhereItsLengthSays(_ length: Int, _ masked: Bool) {
        let bytes = frame(length, masked: masked)
        var frames = WebSocketFrames()
        #expect(frames.isAtBoundary)
        // In every way of cutting it into two pieces near its head, and near its end.
        for cut in Array(0..<min(bytes.count, 16)) + [bytes.count - 1] {
            #expect(pass(bytes[..<cut], &frames) == cut)
            #expect(frames.isAtBoundary == (cut == 0))
            #expect(pass(bytes[cut...], &frames) == bytes.count - cut)
            #expect(frames.isAtBoundary)
        }
    }

    @Test func itStopsWhereTheNextFrameEnds() {
        let bytes = frame(200) + frame(3)
        var frames = WebSocketFrames()
        _ = pass(bytes[..<50], &frames)
        #expect(pass(bytes[50...], &frames, stopping: true) == frame(200).count - 50)
        #expect(frames.isAtBoundary)
        #expect(pass(bytes[...], &frames, stopping: true) == 0)
    }
}
