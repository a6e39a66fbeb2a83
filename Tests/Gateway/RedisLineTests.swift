import Testing

@testable import Gateway

@Suite struct RedisLineTests {
    typealias Line = RedisLine<String>

    /// The tenant is the first letter of a question.
    private func key(_ question: String) -> Line.Key { Line.Key(tenant: String(question.prefix(1)), namespace: "n") }

    private func line(_ questions: [String], bytes: Int? = nil) -> Line {
        var line = Line()
        for question in questions { _ = line.add(question, key(question), bytes: bytes) }
        return line
    }

    private func names(_ count: Int, _ tenant: String = "a") -> [String] { (0..<count).map { "\(tenant)\($0)" } }

    /// All that may be sent now.
    private func send(_ line: inout Line) -> [Line.Sent] {
        var sent: [Line.Sent] = []
        while let next = line.next(where: { _ in true }) { sent.append(next) }
        return sent
    }

    @Test func `tenants take turns, and each is asked in its order`() {
        var line = line(["a1", "a2", "a3", "b1"])
        let order = send(&line).map(\.question)
        #expect(order == ["a1", "b1", "a2", "a3"] && line.isEmpty)
    }

    @Test func `as much is under way as its answers will have room`() {
        var line = line(names(1_000))
        let first = send(&line)
        #expect(first.count == Line.window / Line.atFirst)
        let held1 = first.filter { line.arrived($0, weight: 4 << 10) }.count, second = send(&line).count
        #expect(held1 == first.count && second > 0, "what is held is little")
        var large = self.line(names(1_000))
        var held = 0
        for sent in send(&large) where large.arrived(sent, weight: 1 << 20) { held += 1 << 20 }
        #expect(held == Line.mostHeld, "they were larger than expected")
        let none = send(&large).count
        #expect(none == 0, "nobody has taken one")
        for _ in 0..<(held >> 20) { large.taken(1 << 20, of: key("a")) }
        let again = send(&large).map(\.question)
        #expect(again == ["a15"], "one at a time from now on; the last that was let go is asked again first")
    }

    @Test func `what was let go is asked again, and all are answered once`() {
        var line = line(names(300)), answered: Set<String> = [], rounds = 0
        while answered.count < 300, rounds < 10_000 {
            rounds += 1
            var held: [Line.Sent] = []
            for sent in send(&line) where line.arrived(sent, weight: 700_000 + rounds) { held.append(sent) }
            for sent in held {
                #expect(answered.insert(sent.question).inserted)
                line.taken(700_000 + rounds, of: sent.key)
            }
        }
        #expect(answered.count == 300 && line.isEmpty && rounds < 310)
    }

    @Test func `a value larger than everything passes alone`() {
        var line = line(names(3))
        for sent in send(&line) { _ = line.arrived(sent, weight: 30 << 20) }
        line.taken(30 << 20, of: key("a"))
        let next = send(&line)
        let isKept = line.arrived(next[0], weight: 30 << 20)
        #expect(next.count == 1 && isKept)
    }

    @Test func `writes weigh what they carry, and are never let go`() {
        var line = line(names(100), bytes: 300_000)
        let sent = send(&line)
        #expect(sent.count == 3)
        let kept = sent.filter { line.arrived($0, weight: 10 << 20) }.count
        #expect(kept == 3)
    }

    @Test func `who cannot take an answer is passed over and keeps its place`() {
        var line = line(["a1", "a2", "b1"])
        let first = line.next { $0.hasPrefix("b") }
        let none = line.next { $0.hasPrefix("b") }
        #expect(first?.question == "b1" && none == nil)
        let rest = send(&line).map(\.question)
        #expect(rest == ["a1", "a2"])
    }

    @Test func `more questions of one line than may wait are refused, those of another are not`() {
        var line = Line()
        let taken = (0..<Line.most + 5).filter { line.add("a\($0)", key("a"), bytes: nil) }.count
        let another = line.add("b", key("b"), bytes: nil)
        #expect(taken == Line.most && another)
        let next = line.next { _ in true }
        let again = line.add("a", key("a"), bytes: nil)
        #expect(next?.question == "a0" && again)
    }

    @Test func `lines without anything in them are forgotten, those with something are not`() {
        var line = Line()
        for number in 0..<1_000 {
            _ = line.add("x\(number)", Line.Key(tenant: "\(number)", namespace: "n"), bytes: nil)
            guard number > 0, let sent = line.next(where: { $0 != "x0" }) else { continue }
            _ = line.arrived(sent, weight: 0)
        }
        let left = send(&line).map(\.question)
        #expect(left == ["x0"])
    }
}
