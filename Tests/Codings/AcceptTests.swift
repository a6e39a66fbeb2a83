import Codings
import Testing

@Suite struct AcceptTests {
    private func best(_ fields: String..., of offered: [ContentCoding] = [.zstd, .brotli, .gzip]) -> ContentCoding? {
        var accepted = AcceptedCodings()
        for field in fields { accepted.add(Array(field.utf8).span) }
        return accepted.best(of: offered)
    }

    @Test func `the largest weight wins, and the order of the offer between equals`() {
        #expect(best("gzip, deflate, br") == .brotli)
        #expect(best("gzip, deflate, br, zstd") == .zstd)
        #expect(best("gzip;q=1.0, br;q=0.9") == .gzip)
        #expect(best("gzip", "br") == .brotli)
        #expect(best("gzip, br", of: [.gzip]) == .gzip)
        #expect(best("GZIP") == .gzip)
        #expect(best("x-gzip") == .gzip)
        #expect(best(" br ; q=0.5 ,gzip;q=0.501") == .gzip)
    }

    @Test func `a star stands for what is not named`() {
        #expect(best("*") == .zstd)
        #expect(best("*, zstd;q=0") == .brotli)
        #expect(best("*;q=0") == nil)
        #expect(best("gzip;q=0.1, *;q=0") == .gzip)
    }

    @Test func `who does not ask gets the body as it is`() {
        #expect(best() == nil)
        #expect(best("") == nil)
        #expect(best("identity") == nil)
        #expect(best("gzip;q=0") == nil)
        #expect(best("gzip;q=0.000, br;q=0") == nil)
        #expect(best("gzip;q=0.5, identity") == nil)
        #expect(best("gzip, identity;q=0.5") == .gzip)
        #expect(best("deflate") == nil)
        #expect(best("sdch, compress") == nil)
    }

    @Test func `what cannot be read is not taken for a yes`() {
        #expect(best("gzip;q=2") == nil)
        #expect(best("gzip;q=-1") == nil)
        #expect(best("gzip;q=") == nil)
        #expect(best("gzip;q=0.12345") == nil)
        #expect(best("gzip;level=9") == nil)
        #expect(best(",,;,gzip") == .gzip)
    }
}
