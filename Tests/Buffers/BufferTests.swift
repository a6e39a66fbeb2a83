import Buffers
import Testing

/// Fills a read buffer as a socket would.
func fill(_ buffer: inout ReadBuffer, _ bytes: [UInt8], minimum: Int = 1) {
    var done = 0
    while done < bytes.count {
        unsafe buffer.withFreeSpace(minimum: minimum) { free in
            let length = min(free.count, bytes.count - done)
            for index in 0..<length { unsafe free[index] = bytes[done + index] }
            done += length
            return length
        }
    }
}

func pattern(_ count: Int, seed: Int = 7) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* seed &+ $0 >> 8) }
}

@Suite struct SlabLife {
    @Test func aSlabReturnsToThePoolWithItsLastSlice() {
        let pool = SlabPool()
        var buffer = ReadBuffer(pool: pool)
        fill(&buffer, pattern(100))
        var slice: Slice? = buffer.takeSlice(60)
        var second = slice?.shared()
        buffer.consume(40)
        buffer.releaseIfEmpty()
        #expect(pool.slabs.live == 1)
        slice = nil
        #expect(pool.slabs.live == 1)
        let secondCount = second?.count
        #expect(secondCount == 60)
        second = nil
        #expect(pool.slabs.live == 0)
        #expect(pool.slabs.free == 1)
    }

    @Test func slicesMayOutliveTheirPool() {
        var slice: Slice?
        do {
            let pool = SlabPool()
            var buffer = ReadBuffer(pool: pool)
            fill(&buffer, pattern(10))
            slice = buffer.takeSlice(10)
        }
        let bytes = slice?.bytes.array()
        #expect(bytes == pattern(10))
        slice = nil
    }

    @Test func aWarmPoolAllocatesNothing() {
        let pool = SlabPool()
        for _ in 0..<1000 {
            var buffer = ReadBuffer(pool: pool)
            fill(&buffer, pattern(20_000))
            let slice = buffer.takeSlice(1000)
            let count = slice.count
            #expect(count == 1000)
        }
        #expect(pool.slabs.allocated <= 3)
        #expect(pool.slabs.live == 0)
    }

    @Test func keptMemoryIsBounded() {
        let pool = SlabPool(keptBytes: 65536)
        var chain = Chain()
        for _ in 0..<20 {
            var buffer = ReadBuffer(pool: pool)
            fill(&buffer, pattern(16384))
            chain.append(buffer.takeSlice(buffer.count))
        }
        #expect(pool.slabs.live == 20)
        #expect(pool.slabs.highWater == 20)
        chain.removeAll()
        #expect(pool.slabs.live == 0)
        #expect(pool.slabs.free * 16384 <= 65536)
        pool.releaseFree()
        #expect(pool.slabs.free == 0)
    }
}

@Suite struct ReadBuffers {
    /// A peer that sends a large message byte by byte must not make us copy it again for each byte.
    @Test func anAlmostFullLargeSlabIsFilledWithoutCopying() {
        let pool = SlabPool()
        var buffer = ReadBuffer(pool: pool)
        fill(&buffer, pattern(64_000))
        let before = pool.copied.partial
        for _ in 0..<1500 { fill(&buffer, [1], minimum: 2048) }
        #expect(pool.copied.partial == before)
        let count = buffer.count
        #expect(count == 65_500)
    }

    @Test func unreadBytesStayContiguousWhenTheSlabIsFull() {
        let pool = SlabPool()
        var buffer = ReadBuffer(pool: pool)
        let bytes = pattern(40_000)
        fill(&buffer, Array(bytes[0..<16_000]))
        buffer.consume(15_000)
        fill(&buffer, Array(bytes[16_000..<40_000]), minimum: 2048)
        let unread = buffer.bytes.array()
        #expect(unread == Array(bytes[15_000...]))
        #expect(pool.copied.partial > 0)
    }

    @Test func takingASliceDoesNotCopy() {
        let pool = SlabPool()
        var buffer = ReadBuffer(pool: pool)
        fill(&buffer, pattern(1000))
        let a = buffer.takeSlice(400)
        let b = buffer.takeSlice(600)
        let both = a.bytes.array() + b.bytes.array()
        #expect(both == pattern(1000))
        #expect(pool.copied == CopyCounters())
    }

    @Test func bytesReadLaterDoNotDisturbSlicesGivenOut() {
        let pool = SlabPool()
        var buffer = ReadBuffer(pool: pool)
        fill(&buffer, pattern(1000))
        let slice = buffer.takeSlice(1000)
        fill(&buffer, pattern(50_000, seed: 3))
        let (early, late) = (slice.bytes.array(), buffer.bytes.array())
        #expect(early == pattern(1000))
        #expect(late == pattern(50_000, seed: 3))
    }

    @Test func aBusyBufferMovesToLargeSlabs() {
        let pool = SlabPool()
        var buffer = ReadBuffer(pool: pool)
        fill(&buffer, pattern(16384))
        buffer.consume(16384)
        unsafe buffer.withFreeSpace { free in
            let room = free.count
            #expect(room == 65536)
            return 0
        }
    }
}

@Suite struct Chains {
    @Test func neighboursOfOneSlabShareAnEntry() {
        let pool = SlabPool()
        var buffer = ReadBuffer(pool: pool)
        var chain = Chain()
        for byte in UInt8(0)..<200 {
            fill(&buffer, [byte])
            chain.append(buffer.takeSlice(1))
        }
        do {
            let (slices, bytes) = (chain.sliceCount, chain.byteCount)
            #expect(slices == 1 && bytes == 200)
            let text = chain.firstBytes.array()
            #expect(text == Array(0..<200))
        }
        fill(&buffer, [1, 2, 3])
        buffer.consume(1)
        chain.append(buffer.takeSlice(2))
        let slices = chain.sliceCount
        #expect(slices == 2)
        chain.dropFirst(201)
        let rest = chain.firstBytes.array()
        #expect(rest == [3])
        chain.removeAll()
        buffer.releaseIfEmpty()
        #expect(pool.slabs.live == 0)
    }

    private func slice(_ pool: SlabPool, _ bytes: [UInt8]) -> Slice {
        var buffer = ReadBuffer(pool: pool)
        fill(&buffer, bytes)
        return buffer.takeSlice(bytes.count)
    }

    @Test func bytesComeOutInOrderWhateverTheSteps() {
        let pool = SlabPool()
        var chain = Chain()
        var expected: [UInt8] = []
        for round in 0..<50 {
            let bytes = pattern(round * 13 + 1, seed: round + 3)
            chain.append(slice(pool, bytes))
            expected += bytes
        }
        var got: [UInt8] = []
        var step = 1
        while !chain.isEmpty {
            if step % 3 == 0 {
                let length = min(step, chain.byteCount)
                expected.removeSubrange(got.count..<got.count + length)
                chain.dropFirst(length)
            } else if let part = chain.popFirst(upTo: step * 5) {
                got += part.bytes.array()
            }
            step += 1
        }
        #expect(got == expected)
        let left = chain.byteCount
        #expect(left == 0)
        #expect(pool.slabs.live == 0)
    }

    @Test func appendingAChainMovesItsSlices() {
        let pool = SlabPool()
        var a = Chain()
        var b = Chain()
        a.append(slice(pool, pattern(10)))
        b.append(slice(pool, pattern(20)))
        b.append(slice(pool, pattern(30)))
        a.append(contentsOf: &b)
        let (bytes, slices, emptied) = (a.byteCount, a.sliceCount, b.isEmpty)
        #expect(bytes == 60)
        #expect(slices == 3)
        #expect(emptied)
        #expect(pool.copied == CopyCounters())
    }
}

@Suite struct OutputBuffers {
    private func drain(_ output: inout OutputBuffer, step: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        while !output.isEmpty {
            let length = min(step, output.chain.firstBytes.count)
            bytes += output.chain.firstBytes.extracting(first: length).array()
            output.dropFirst(length)
        }
        return bytes
    }

    /// Text in pieces of many sizes, slices between, sent in parts of many sizes: what leaves is what went in, in order.
    @Test func anySequenceOfAppendsAndSendsKeepsTheOrder() {
        let pool = SlabPool()
        var output = OutputBuffer(pool: pool)
        var random = UInt64(7)
        func next(_ limit: Int) -> Int {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(random >> 33) % limit
        }
        var expected: [UInt8] = []
        var seen: [UInt8] = []
        for _ in 0..<4_000 {
            switch next(8) {
            case 0...3:
                let piece = pattern(next(next(50) == 0 ? 40_000 : 60))
                output.append(copying: piece.span)
                expected += piece
            case 4:
                output.append(byte: 10)
                expected.append(10)
            case 5:
                var body = ReadBuffer(pool: pool)
                let piece = pattern(1 + next(300))
                fill(&body, piece)
                output.append(body.takeSlice(piece.count))
                expected += piece
            case 6 where output.byteCount > 0:
                let length = min(1 + next(2_000), output.chain.firstBytes.count)
                seen += output.chain.firstBytes.extracting(first: length).array()
                output.dropFirst(length)
            case 7 where next(4) == 0:
                seen += drain(&output, step: 1_000)
                if next(2) == 0 { output.releaseIfEmpty() }
            default: break
            }
        }
        seen += drain(&output, step: 4_096)
        #expect(seen == expected)
        let left = pool.slabs.live
        #expect(left <= 1, "only the tail is kept")
    }

    @Test func textAndSlicesLeaveInOrder() {
        let pool = SlabPool()
        var output = OutputBuffer(pool: pool)
        var body = ReadBuffer(pool: pool)
        fill(&body, pattern(100))
        output.append("HTTP/1.1 ")
        output.append(decimal: 200)
        output.append(byte: 13)
        output.append(body.takeSlice(100))
        output.append(hex: 0xdead)
        let slices = output.chain.sliceCount
        #expect(slices == 3)
        let sent = drain(&output, step: 7)
        #expect(sent == Array("HTTP/1.1 200\r".utf8) + pattern(100) + Array("dead".utf8))
    }

    @Test func textLargerThanASlabIsSpread() {
        let pool = SlabPool()
        var output = OutputBuffer(pool: pool)
        let bytes = pattern(50_000)
        output.append(copying: bytes.span)
        let queued = output.byteCount
        #expect(queued == 50_000)
        let sent = drain(&output, step: 4096)
        #expect(sent == bytes)
        output.releaseIfEmpty()
        #expect(pool.slabs.live == 0)
    }

    @Test func aDrainedBufferReusesItsSlab() {
        let pool = SlabPool()
        var output = OutputBuffer(pool: pool)
        for round in 0..<10_000 {
            output.append(decimal: round)
            output.dropFirst(output.byteCount)
        }
        #expect(pool.slabs.allocated == 1)
    }
}

@Suite struct ByteQuestions {
    @Test func decimals() {
        let good = [Span<UInt8>("0").decimal(), Span<UInt8>("123456789012345678").decimal()]
        #expect(good == [0, 123_456_789_012_345_678])
        for bad: StaticString in ["", "+1", "-1", "1 ", "0x1", "1234567890123456789"] {
            let value = Span<UInt8>(bad).decimal()
            #expect(value == nil)
        }
    }

    @Test func comparisons() {
        let checks = [
            Span<UInt8>("Content-Length").equalsIgnoringCase("content-length"),
            !Span<UInt8>("a@b").equalsIgnoringCase("a`b"),
            Span<UInt8>(" \t a b\t ").trimmingOWS().equals("a b"),
            Span<UInt8>("abcabd").firstRange(of: Span("abd")) == 3,
            Span<UInt8>("abc").firstRange(of: Span("abd")) == nil,
            Span<UInt8>("abc").starts(with: Span("ab")),
            Span<UInt8>("abc").ends(with: Span("bc")),
        ]
        #expect(checks == Array(repeating: true, count: checks.count))
    }

    @Test func arenaRangesSurviveGrowth() {
        var arena = ByteArena(capacity: 64)
        let first = arena.append("first")
        for _ in 0..<1000 { _ = arena.append("more text here") }
        let copy = arena.append(copyOf: first)
        let kept = [arena[first].text(), arena[copy].text()]
        #expect(kept == ["first", "first"])
    }
}

@Suite struct CopiesInAChain {
    /// A script that writes a body byte by byte took 16 KiB for each.
    @Test func singleBytesShareASlab() {
        let pool = SlabPool()
        var chain = Chain()
        let bytes = pattern(20_000)
        for index in bytes.indices { chain.append(copying: bytes.span.extracting(index..<(index + 1)), from: pool) }
        #expect(pool.slabs.live == 2)
        let copied = chain.copyBytes(), slices = chain.sliceCount
        #expect(copied == bytes && slices == 2)
    }

    @Test func aSlabThatSomebodyElseHoldsIsNotWrittenTo() {
        let pool = SlabPool()
        var buffer = ReadBuffer(pool: pool)
        fill(&buffer, pattern(1_000))
        var chain = Chain()
        chain.append(buffer.takeSlice(400))
        chain.append(copying: [1, 2, 3].span, from: pool)
        let rest = buffer.takeSlice(600).bytes.array()
        #expect(rest == Array(pattern(1_000)[400...]))
        let all = chain.copyBytes()
        #expect(all == Array(pattern(1_000)[..<400]) + [1, 2, 3])
    }

    @Test func whatIsSharedIsNotWrittenBehind() {
        let pool = SlabPool()
        var chain = Chain()
        chain.append(copying: pattern(100).span, from: pool)
        let held = chain.shareFirst()
        chain.append(copying: [9].span, from: pool)
        let slices = chain.sliceCount, live = pool.slabs.live, same = held.bytes.array() == pattern(100)
        #expect(slices == 2 && live == 2 && same)
    }
}

@Suite struct GuardedState {
    /// Under ThreadSanitizer this is the proof that two threads which meet at the lock are no race (a plain `Mutex` has it report one).
    @Test func threadsThatMeetAtTheLockAreNoRace() async {
        let shared = Guarded([Int]())
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<8 {
                group.addTask {
                    for _ in 0..<2_000 {
                        shared.withLock { $0.append(number) }
                        if number % 2 == 1 { shared.withLock { _ = $0.popLast() } }
                    }
                }
            }
        }
        #expect(shared.withLock { $0.count } == 8_000)
    }
}
