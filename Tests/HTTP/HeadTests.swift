import Buffers
import HTTP
import Testing

@Suite struct HeadTests {
    private func sample() -> Head {
        var head = Head()
        head.setMethod(Span("GET"))
        head.add(.host, "example.com:8080")
        head.add(name: Span("X-One"), value: Span("1"))
        head.add(name: Span("x-one"), value: Span("2"))
        head.add(.cookie, "a=1")
        return head
    }

    @Test func setReplacesTheFirstAndRemovesTheRest() {
        var head = sample()
        head.set(name: Span("X-ONE"), value: Span("3"))
        #expect(head.fields.count == 3)
        do {
            let text = head.text(of: "x-one")
            #expect(text == "3")
        }
        head.set(.host, "other")
        do {
            let text = head.text(of: "host")
            #expect(text == "other")
        }
        #expect(head.fields.count == 3)
    }

    @Test func removeTakesEveryFieldOfThatName() {
        var head = sample()
        let removed = [head.remove(named: Span("X-One")), head.remove(named: Span("X-One")), head.remove(.cookie)]
        #expect(removed == [true, false, true])
        #expect(head.fields.count == 1)
    }

    @Test func aFieldIsFoundHoweverItCame() {
        var head = Head()
        let texts = (name: head.arena.append("via"), value: head.arena.append("1"))
        for id in [FieldName.via, .te, .age, .vary, .date, .other] {
            let before = head.contains(id)
            switch id {
            case .via: head.appendField(.via, name: texts.name, value: texts.value)
            case .te: head.add(.te, "trailers")
            case .age: head.add(.age, range: texts.value)
            case .vary: head.add(name: Span("VARY"), value: Span("*"))
            case .date: head.set(name: Span("date"), value: Span("now"))
            default: head.set(name: Span("x-one"), value: Span("1"))
            }
            let after = head.contains(id)
            #expect(!before && after, "\(id)")
        }
        let last = FieldName.allCases[FieldName.allCases.count - 1]
        head.set(last, range: texts.value)
        head.remove(last)
        let removed = head.contains(last)
        head.set(last, "again")
        let again = head.text(of: Span<UInt8>(last.text).text())
        #expect(!removed && again == "again")
        head.removeAllFields()
        let none = head.contains(.via) || head.contains(last)
        #expect(!none)
        head.reset()
        head.add(.via, "1")
        let found = [head.contains(.via), head.contains(.te), head.contains(.other)]
        #expect(found == [true, false, false])
    }

    @Test func rangesTakenEarlierStayValidAfterChanges() {
        var head = sample()
        let before = head.value(of: .host) ?? .empty
        for _ in 0..<1000 { head.set(.host, "changed.example.com") }
        let text = head.text(before)
        #expect(text == "example.com:8080")
    }

    @Test func copyIsEqualAndIndependent() {
        let head = sample()
        var copy = Head()
        copy.copy(from: head)
        copy.remove(.host)
        do {
            let text = head.text(of: "host")
            #expect(text == "example.com:8080")
        }
        #expect(copy.fields.count == head.fields.count - 1)
        #expect(copy.method == .get)
    }

    @Test(arguments: [("example.com", "example.com"), ("example.com:80", "example.com"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("", "")])
    func hostIsTheAuthorityWithoutPort(authority: String, host: String) {
        var head = Head()
        head.authority = head.arena.append(authority)
        let text = head.text(head.host())
        #expect(text == host)
    }

    @Test func variablesAreReplacedByName() {
        var table = VariableTable()
        table.set(Span("a"), Span("1"))
        table.set(Span("b"), Span("2"))
        table.set(Span("a"), Span("3"))
        let a = table.value(Span("a")) ?? .empty
        let text = table.bytes(a).text()
        #expect(text == "3")
        table.removeAll()
        let gone = table.value(Span("a")) == nil
        #expect(gone)
    }

    @Test func requestIDsAreHexadecimal() {
        #expect(RequestID(high: 0x0123_4567_89ab_cdef, low: 0xfedc_ba98_7654_3210).text == "0123456789abcdeffedcba9876543210")
    }
}

@Suite struct DateTests {
    @Test(arguments: [
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"),
    ])
    func datesAreWrittenAsTheFieldWantsThem(seconds: Int, text: String) {
        #expect(HTTPDate.format(seconds) == text)
    }

    @Test func aDateThatIsThereIsKept() {
        var head = Head()
        var date = HTTPDate()
        date.add(to: &head, seconds: 0)
        date.add(to: &head, seconds: 1)
        let count = head.fields.count
        #expect(count == 1)
    }
}
