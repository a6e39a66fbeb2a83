@testable import Rules
import Testing

@Suite struct AccessLogTests {
    @Test func aTemplateIsTextAndFields() throws {
        let parts = try LogTemplate.parse("a ${status}${header:X-One} ${response_header:etag}$b")
        #expect(parts == [
            .text(Array("a ".utf8)), .field(.status), .requestHeader("x-one"), .text([32]), .responseHeader("etag"), .text(Array("$b".utf8)),
        ])
        #expect(try LogTemplate.parse("") == [])
    }

    @Test func mistakesAreKnownByTheirKind() {
        func problem(_ text: String) -> LogTemplate.Problem? {
            do throws(LogTemplate.Problem) {
                _ = try LogTemplate.parse(text)
                return nil
            } catch {
                return error
            }
        }
        #expect(problem("${status") == .unclosed)
        #expect(problem("${statsu}") == .unknown("statsu"))
        #expect(problem("${header:a b}") == .badHeader("a b"))
        #expect(problem("${header:}") == .badHeader(""))
    }
}
