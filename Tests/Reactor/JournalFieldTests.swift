import Testing

@testable import Reactor

@Suite struct JournalFieldTests {
    private func fields(_ line: String) -> String {
        var out: [UInt8] = []
        JournalFields.append(Array(line.utf8).span, to: &out)
        return String(decoding: out, as: UTF8.self)
    }

    @Test func textsAndNumbersOfTheOutermostObjectAreFields() {
        #expect(
            fields(#"{"time":1.5,"id":"ab","rules":["a,b","c]"],"upstream":{"name":"o}","status":200},"status":502,"site":"s"}"#)
                == "SLUICE_TIME=1.5\nSLUICE_ID=ab\nSLUICE_STATUS=502\nSLUICE_SITE=s\n")
    }

    @Test func aValueCannotBeginAnotherField() {
        #expect(fields(#"{"path":"/a\nSLUICE_STATUS=200\"","status":404}"#) == #"SLUICE_PATH=/a\nSLUICE_STATUS=200\""# + "\nSLUICE_STATUS=404\n")
    }

    @Test(arguments: ["", "{", "{}", "{\"a", "{\"a\":", "{\"a\":\"b", "{\"a\":[1,{\"b\":2}", "{\"a\\", "203.0.113.9 - - \"GET / HTTP/1.1\"", "{a:1}"])
    func whatIsNoWholeObjectHasNone(_ line: String) { #expect(fields(line) == "") }

    @Test func whatIsLongStaysInTheMessage() {
        let long = String(repeating: "x", count: JournalFields.limit)
        #expect(fields("{\"a\":\"\(long)\",\"b\":1}") == "SLUICE_B=1\n")
    }
}
