import Reactor
import Testing

@testable import Supervisor

@Suite struct ExpiryTests {
    private let day = 86_400

    private func ending(_ use: ConfigurationBundle.Ending.Use = .listener, life: Int = 90, file: String = "a.crt") -> ConfigurationBundle.Ending {
        .init(file: file, use: use, begins: 0, ends: life * day)
    }

    /// Days before the end at which something was told.
    private func days(_ ending: ConfigurationBundle.Ending, from first: Int) -> [Int] {
        var book = ExpiryBook()
        var told: [Int] = []
        for left in stride(from: first, through: -3, by: -1) {
            let notices = book.look(at: [ending], now: ending.ends - left * day)
            if !notices.isEmpty { told.append(left) }
            #expect(book.look(at: [ending], now: ending.ends - left * day).isEmpty, "told once")
        }
        return told
    }

    @Test func eachStepIsToldOnce() { #expect(days(ending(), from: 60) == [30, 7, 1, 0]) }

    @Test func whatIsMadeForDaysIsNotToldWhenItIsNew() {
        #expect(days(ending(life: 6), from: 6) == [1, 0])
        #expect(days(ending(.ocsp, life: 7), from: 7) == [1, 0])
        #expect(days(ending(life: 20), from: 20) == [7, 1, 0])
    }

    @Test func whatTheStartHasSaidIsNotRepeated() {
        #expect(days(ending(), from: 20) == [20, 7, 1, 0], "only from 14 days on does a start say so")
        #expect(days(ending(), from: 5) == [1, 0])
        #expect(days(ending(), from: -1) == [])
        #expect(days(ending(.origin), from: -1) == [-1], "nobody else tells of these")
    }

    @Test func aRenewedOneBeginsAnew() {
        var book = ExpiryBook()
        let old = ending(), new = ConfigurationBundle.Ending(file: "a.crt", use: .listener, begins: 0, ends: 180 * day)
        #expect(book.look(at: [old], now: 62 * day).count == 1)
        #expect(book.look(at: [new], now: 62 * day).isEmpty)
        #expect(book.look(at: [new], now: 151 * day).map(\.left) == [29 * day])
    }

    @Test func textsNameFileTimeAndRemedy() {
        #expect(ExpiryBook.Notice(ending: ending(), left: 29 * day).text == "a.crt: the certificate ends in 29 days; renew it")
        #expect(ExpiryBook.Notice(ending: ending(), left: 0).text == "a.crt: the certificate has ended: clients refuse it; renew it")
        #expect(ExpiryBook.Notice(ending: ending(.ocsp), left: day).text == "a.crt: the OCSP response ends in 24 hours; fetch a new one")
    }

    @Test func theBundleCarriesThem() throws {
        var bundle = ConfigurationBundle(mainFile: "rules.yaml", listeners: [])
        bundle.endings = [ending(), .init(file: "b.crt", use: .admin, begins: -5, ends: 7)]
        #expect(try ConfigurationBundle(decoding: bundle.encoded()) == bundle)
    }

    @Test func thoseThatEndFirstAreShown() {
        let many = (0..<1_200).map { ending(life: 1_200 - $0, file: "\($0)") }
        #expect(ExpiryBook.first(many).count == ExpiryBook.shown)
        #expect(ExpiryBook.first(many).first?.file == "1199")
    }
}
