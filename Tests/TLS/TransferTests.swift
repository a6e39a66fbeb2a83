import Buffers
import Glibc
import Reactor
@testable import TLS
import Testing

@Suite struct TransferTests {
    let certificates: TestCertificates

    init() throws { certificates = try TestCertificates.shared.get() }

    private func pair(socketBytes: Int32? = nil) throws -> TLSPair {
        var options = ClientOptions()
        options.trustedCertificates = certificates.authority
        let pair = try TLSPair(try ServerContext([certificates.ecdsa]), try ClientContext(options), socketBytes: socketBytes)
        let outcome = pair.shakeHands()
        #expect(outcome.server != nil && outcome.client != nil, "\(outcome)")
        return pair
    }

    private func slices(_ bytes: [UInt8], pool: SlabPool, sizes: [Int]) -> Chain {
        var chain = Chain()
        var at = 0
        var turn = 0
        while at < bytes.count {
            let length = min(sizes[turn % sizes.count], bytes.count - at)
            chain.append(copying: bytes[at..<(at + length)].span, from: pool)
            at += length
            turn += 1
        }
        return chain
    }

    @Test func tenMegabytesArriveEqualThroughTinySocketBuffers() throws {
        let pair = try pair(socketBytes: 4096)
        let sent = pattern(10_000_000)
        var chain = slices(sent, pool: pair.pool, sizes: [65536, 100, 16384, 9, 5000, 1])
        pair.serverOutput.append(contentsOf: &chain)
        expectSame(pair.download(), sent)
        #expect(pair.waiting == 0)
    }

    @Test func anUploadArrivesEqual() throws {
        let pair = try pair()
        let sent = pattern(3_000_000)
        var chain = slices(sent, pool: pair.pool, sizes: [16384, 3])
        pair.clientOutput.append(contentsOf: &chain)
        expectSame(pair.upload(), sent)
    }

    @Test func headAndSmallBodyLeaveAsOneRecordWithOneCall() throws {
        let pair = try pair()
        _ = pair.download()  // the session tickets
        var body = slices(pattern(900), pool: pair.pool, sizes: [900])
        pair.serverOutput.append("HTTP/1.1 200 OK\r\n\r\n")
        pair.serverOutput.append(contentsOf: &body)
        let before = pair.reactor.syscalls
        #expect(pair.server.send(&pair.serverOutput) == .moved(919, drained: false))
        #expect(pair.reactor.syscalls.send == before.send + 1)
        // TLS 1.3: header 5, type 1, tag 16.
        #expect(pair.readRaw().count == 919 + 22)
    }

    @Test func aLargeBodyLeavesWithOneCallForEightRecords() throws {
        let pair = try pair(socketBytes: 4_000_000)
        var body = slices(pattern(131_072), pool: pair.pool, sizes: [65536])
        pair.serverOutput.append(contentsOf: &body)
        let before = pair.reactor.syscalls.send
        #expect(pair.server.send(&pair.serverOutput) == .moved(131_072, drained: false))
        #expect(pair.reactor.syscalls.send == before + 1)
    }

    @Test func oneCallReceivesSeveralRecords() throws {
        let pair = try pair(socketBytes: 4_000_000)
        _ = pair.download()
        for _ in 0..<10 {
            pair.serverOutput.append("0123456789")
            #expect(pair.server.send(&pair.serverOutput) == .moved(10, drained: false))
        }
        let before = pair.reactor.syscalls.receive
        #expect(pair.client.receive(into: &pair.clientInput) == .moved(100, drained: true))
        #expect(pair.reactor.syscalls.receive == before + 1)
    }

    @Test func outputIsNotEmptyWhileTheKernelHasNotTakenItsRecords() throws {
        let pair = try pair(socketBytes: 4096)
        let sent = pattern(200_000)
        var chain = slices(sent, pool: pair.pool, sizes: [65536])
        pair.serverOutput.append(contentsOf: &chain)
        var last = IOResult.wouldBlock
        for _ in 0..<100 {
            last = pair.server.send(&pair.serverOutput)
            if last == .wouldBlock { break }
        }
        #expect(last == .wouldBlock)
        #expect(pair.waiting > 0)
        expectSame(pair.download(), sent)
    }

    @Test func anOrderlyEndIsToldFromACut() throws {
        let orderly = try pair()
        orderly.serverOutput.append("bye")
        _ = orderly.server.send(&orderly.serverOutput)
        orderly.server.finishSending()
        #expect(orderly.download() == Array("bye".utf8))
        #expect(orderly.client.receive(into: &orderly.clientInput) == .endOfStream)

        let cut = try pair()
        cut.serverOutput.append("by")
        _ = cut.server.send(&cut.serverOutput)
        cut.cutServer()
        #expect(cut.client.receive(into: &cut.clientInput) == .moved(2, drained: true))
        #expect(cut.client.receive(into: &cut.clientInput) == .failed(ECONNRESET))
        #expect(cut.client.failure.contains("without close_notify"))
    }

    @Test func aDamagedRecordEndsTheConnection() throws {
        let pair = try pair()
        pair.writeRaw([23, 3, 3, 0, 40] + Array(repeating: 7, count: 40))
        #expect(pair.server.receive(into: &pair.serverInput) == .failed(EPROTO))
        #expect(pair.server.failure.contains("bad record mac"))
    }

    @Test func sendingToAClosedPeerFailsWithoutASignal() throws {
        let pair = try pair()
        pair.cutClient()
        pair.serverOutput.append("anyone there?")
        #expect(pair.server.send(&pair.serverOutput) == .failed(EPIPE))
    }

    @Test func aFloodOfKeyUpdatesEndsTheConnection() throws {
        let pair = try pair()
        var updates = 0
        var last = IOResult.wouldBlock
        while updates < 1000 {
            pair.client.updateKey()
            updates += 1
            last = pair.server.receive(into: &pair.serverInput)
            _ = pair.client.receive(into: &pair.clientInput)
            if case .failed = last { break }
        }
        #expect(updates <= 65)
        #expect(last == .failed(EPROTO))
    }

    @Test func allSlabsComeBack() throws {
        let pair = try pair()
        var body = slices(pattern(300_000), pool: pair.pool, sizes: [16384])
        pair.serverOutput.append(contentsOf: &body)
        _ = pair.download()
        pair.clientInput.releaseIfEmpty()
        pair.serverOutput.releaseIfEmpty()
        pair.serverInput.releaseIfEmpty()
        pair.clientOutput.releaseIfEmpty()
        #expect(pair.pool.slabs.live == 0)
    }
}

/// Records that the kernel makes. Skipped where it has no TLS (module `tls`), as on most build machines.
@Suite(.enabled(if: KernelTLS.isAvailable, "the kernel has no TLS"))
struct KernelTLSTests {
    let certificates: TestCertificates

    init() throws { certificates = try TestCertificates.shared.get() }

    private func pair(socketBytes: Int32? = nil, usesKernel: Bool = true) throws -> TLSPair {
        var options = ClientOptions()
        options.trustedCertificates = certificates.authority
        var server = ServerOptions()
        server.usesKernel = usesKernel
        let pair = try TLSPair(
            try ServerContext([certificates.ecdsa], options: server), try ClientContext(options), socketBytes: socketBytes, tcp: true)
        let outcome = pair.shakeHands()
        #expect(outcome.server != nil && outcome.client != nil, "\(outcome)")
        return pair
    }

    @Test(arguments: [nil, 65_536] as [Int32?])
    func whatTheKernelEncryptsArrivesEqual(socketBytes: Int32?) throws {
        let pair = try pair(socketBytes: socketBytes)
        #expect(pair.server.takesPlainBytes, "the kernel has the keys")
        let sent = pattern(5_000_000)
        pair.serverOutput.append(copying: sent.span)
        expectSame(pair.download(), sent)
        #expect(pair.waiting == 0)
        let back = pattern(1_000_000)
        pair.clientOutput.append(copying: back.span)
        expectSame(pair.upload(), back)
    }

    @Test func theEndIsToldAsAlways() throws {
        let pair = try pair()
        pair.serverOutput.append("bye")
        expectSame(pair.download(), Array("bye".utf8))
        pair.server.finishSending()
        var result = IOResult.wouldBlock
        for _ in 0..<10_000 where result == .wouldBlock { result = pair.client.receive(into: &pair.clientInput) }
        #expect(result == .endOfStream, "close_notify is a record of its own kind")
    }

    @Test func itIsLeftAloneWhereThatIsWanted() throws {
        let pair = try pair(usesKernel: false)
        #expect(!pair.server.takesPlainBytes)
        pair.serverOutput.append("plain old records")
        expectSame(pair.download(), Array("plain old records".utf8))
    }
}
