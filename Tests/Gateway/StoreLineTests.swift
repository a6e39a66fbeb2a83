import KeyValue
import Testing

@testable import Gateway

@Suite struct StoreLineTests {
    /// A line with these questions; the tenant is the first letter of each.
    private func line(_ questions: [String]) -> StoreLine<String> {
        var line = StoreLine<String>()
        for question in questions { _ = line.add(question, of: String(question.prefix(1))) }
        return line
    }

    @Test func `tenants take turns, and each is asked in its order`() {
        var line = line(["a1", "a2", "a3", "b1"])
        var order: [String] = []
        while let next = line.next(where: { _ in true }) { order.append(next) }
        #expect(order == ["a1", "b1", "a2", "a3"] && line.isEmpty)
    }

    @Test func `who cannot take an answer is passed over and keeps its place`() {
        var line = line(["a1", "a2", "b1"])
        let first = line.next { $0.hasPrefix("b") }
        let none = line.next { $0.hasPrefix("b") }
        let last = line.next { _ in true }
        #expect([first, none, last] == ["b1", nil, "a1"] && !line.isEmpty)
    }

    @Test func `more questions of one tenant than may wait are refused, those of another are not`() {
        var line = StoreLine<Int>()
        let taken = (0..<StoreLine<Int>.most).filter { line.add($0, of: "a") }.count
        let more = line.add(0, of: "a"), another = line.add(0, of: "b")
        #expect(taken == StoreLine<Int>.most && !more && another)
        let next = line.next { _ in true }
        let again = line.add(1, of: "a")
        #expect(next == 0 && again)
    }

    /// A tenant that asks on and on would otherwise keep all that it ever asked, and the calls that did.
    @Test func `what was asked is let go of, also where something always waits`() {
        final class Asked {}
        var line = StoreLine<Asked>()
        var alive: [() -> Bool] = []
        for number in 0..<1_000 {
            let asked = Asked()
            alive.append { [weak asked] in asked != nil }
            _ = line.add(asked, of: "a")
            if number > 0 { _ = line.next { _ in true } }
        }
        #expect(!line.isEmpty && alive.count { $0() } <= 128)
    }

    @Test func `an answer weighs what it takes to give it`() {
        var page = StorePage()
        page.names = Array(repeating: StorePage.Name(name: [1], metadata: [], expiration: 0), count: 1_000)
        #expect(StoreLine<Int>.weight(of: .page(page)) >= StoreLine<Int>.share * 9 / 10, "a full page is a turn's work")
        #expect(StoreLine<Int>.weight(of: .entry(StoredEntry(value: Array(repeating: 0, count: 1 << 20)))) > 1 << 20)
        #expect(StoreLine<Int>.share / StoreLine<Int>.weight(of: .missing) >= 100, "small ones are many")
    }
}
