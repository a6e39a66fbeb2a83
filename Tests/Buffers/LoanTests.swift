import Buffers
import Testing

/// Bytes that scripts get where they lie: only while nobody else needs them as they are.
@Suite struct LoanTests {
    private let borrowers: [UInt8] = [0, 0]

    private func filled(_ count: Int, _ pool: SlabPool) -> ReadBuffer {
        var buffer = ReadBuffer(pool: pool)
        fill(&buffer, pattern(count))
        return buffer
    }

    /// What a loan of the slice to one of two borrowers would charge; nil when it is not lent. The loan stays open.
    private func lend(_ slice: borrowing Slice, second: Bool = false) -> (charge: Int, token: UnsafeMutableRawPointer)? {
        unsafe borrowers.withUnsafeBytes { bytes in
            guard let loan = unsafe slice.lend(to: bytes.baseAddress! + (second ? 1 : 0)) else { return nil }
            return unsafe (loan.charge, loan.token)
        }
    }

    @Test func aSlabIsChargedOnceAndComesBackWhenTheLastLoanAndTheLastSliceEnd() throws {
        let pool = SlabPool()
        var buffer: ReadBuffer? = filled(16_000, pool)
        var first: Slice? = buffer!.takeSlice(8_000)
        var second: Slice? = buffer!.takeSlice(8_000)
        let one = unsafe lend(first!), two = unsafe lend(second!)
        #expect(unsafe one?.charge == 16_384)
        #expect(unsafe two?.charge == 0, "the same slab")
        first = nil
        second = nil
        buffer = nil
        #expect(pool.slabs.live == 1)
        #expect(unsafe SlabLoan.end(try #require(one).token) == 0)
        #expect(pool.slabs.live == 1)
        #expect(unsafe SlabLoan.end(try #require(two).token) == 16_384)
        #expect(pool.slabs.live == 0)
    }

    @Test func whatSomebodyElseHoldsIsNotLent() {
        let pool = SlabPool()
        var buffer = filled(16_000, pool)
        let slice = buffer.takeSlice(8_000)
        let kept = slice.shared()
        #expect(unsafe lend(slice) == nil)
        #expect(unsafe lend(kept) == nil)
        let behind = buffer.takeSlice(8_000)
        #expect(unsafe lend(behind) != nil, "the rest of the slab is nobody else's")
        #expect(unsafe lend(behind) == nil, "and is lent once")
    }

    @Test func aRangeThatWasLentIsNotLentToAnotherOnItsWayOut() throws {
        let pool = SlabPool()
        var buffer = filled(16_000, pool)
        let slice = buffer.takeSlice(16_000)
        let loan = try unsafe #require(unsafe lend(slice))
        #expect(unsafe lend(slice, second: true) == nil)
        #expect(unsafe SlabLoan.end(loan.token) == 16_384)
        #expect(unsafe lend(slice, second: true) == nil, "the first one may have passed it on")
    }

    @Test func littleIsCopied() {
        let pool = SlabPool()
        var buffer = filled(16_000, pool)
        let few = buffer.takeSlice(4_095)
        #expect(unsafe lend(few) == nil)
        let enough = buffer.takeSlice(4_096)
        #expect(unsafe lend(enough) != nil)
    }

    @Test func aSlabThatIsUsedAgainMayBeLentAgain() throws {
        let pool = SlabPool()
        for _ in 0..<3 {
            var buffer = filled(16_000, pool)
            let slice = buffer.takeSlice(16_000)
            let loan = try unsafe #require(unsafe lend(slice))
            #expect(unsafe SlabLoan.end(loan.token) == 16_384)
        }
        #expect(pool.slabs.allocated == 1)
    }

    @Test func whoKeepsBytesOfALoanKeepsACopy() throws {
        let pool = SlabPool()
        var buffer = filled(16_000, pool)
        let slice = buffer.takeSlice(16_000)
        #expect(slice.isLent == false)
        let loan = try unsafe #require(unsafe lend(slice))
        #expect(slice.isLent == true)
        let kept = slice.steady()
        #expect(pool.copied.hook == 16_000)
        #expect(pool.slabs.live == 2)
        let same = kept.bytes.array() == pattern(16_000)
        #expect(same)
        _ = unsafe SlabLoan.end(loan.token)
        let other = slice.steady()
        #expect(pool.copied.hook == 16_000 && other.count == 16_000, "nobody writes any more")
    }
}
