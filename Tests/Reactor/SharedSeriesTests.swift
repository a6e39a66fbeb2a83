import Reactor
import Testing

@Suite struct SharedSeriesTests {
    @Test func aThingHasOneEntryWhoeverCountsIt() throws {
        let region = try SharedRegion.create()
        let other = try SharedRegion(adopting: region.descriptor.duplicate())
        let slot = try #require(region.seriesSlot(kind: 1, name: "shop"))
        #expect(other.seriesSlot(kind: 1, name: "shop") == slot)
        #expect(other.seriesSlot(kind: 2, name: "shop") != slot)
        let words: [UInt64] = [1, 0, 5]
        region.add(words.span, toSeries: slot)
        other.add(words.span, toSeries: slot)
        let entry = try #require(other.allSeries().first { $0.kind == 1 })
        #expect(entry.name == "shop")
        #expect(Array(entry.words.prefix(4)) == [2, 0, 10, 0])
        #expect(region.allSeries().count == 2)
    }

    @Test func aLongNameIsCutAndAFullTableRefuses() throws {
        let region = try SharedRegion.create()
        let long = String(repeating: "n", count: 300)
        let slot = try #require(region.seriesSlot(kind: 1, name: long))
        #expect(region.allSeries().first?.name == String(repeating: "n", count: 104))
        #expect(region.seriesSlot(kind: 1, name: long) == slot)
        var taken = 1
        while region.seriesSlot(kind: 3, name: "thing \(taken)") != nil { taken += 1 }
        #expect(taken == region.allSeries().count)
        #expect(region.seriesSlot(kind: 1, name: long) == slot)
        let words: [UInt64] = [1]
        region.add(words.span, toSeries: -1)
        region.add(words.span, toSeries: .max)
    }
}
