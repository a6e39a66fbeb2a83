import Foundation
import Telemetry
import Testing

private func line(_ build: (inout JSONLineWriter) -> Void) -> [UInt8] {
    var writer = JSONLineWriter()
    build(&writer)
    return (0..<writer.bytes.count).map { writer.bytes[$0] }
}

private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

@Suite struct JSONLineWriterTests {
    @Test func nestedStructureHasCommasExactlyWhereTheyBelong() {
        let bytes = line { json in
            json.beginObject()
            json.field("id", "r1")
            json.field("status", 200)
            json.field("bytes", UInt64.max)
            json.field("ok", true)
            json.beginArray("rules")
            json.string("first")
            json.string("second")
            json.endArray()
            json.beginArray("hooks")
            json.beginObject()
            json.field("name", "auth")
            json.key("cpu_ms")
            json.milliseconds(fromMicroseconds: 1_234_007)
            json.endObject()
            json.beginObject()
            json.endObject()
            json.endArray()
            json.key("none")
            json.null()
            json.field("low", Int.min)
            json.endObject()
            json.endLine()
        }
        #expect(
            text(bytes)
                == "{\"id\":\"r1\",\"status\":200,\"bytes\":18446744073709551615,\"ok\":true,"
                + "\"rules\":[\"first\",\"second\"],\"hooks\":[{\"name\":\"auth\",\"cpu_ms\":1234.007},{}],"
                + "\"none\":null,\"low\":-9223372036854775808}\n")
    }

    @Test func everySingleByteBecomesValidJSONThatDecodesToItsValue() throws {
        for byte in UInt8.min...UInt8.max {
            let raw: [UInt8] = [0x61, byte, 0x62]
            let bytes = line { json in
                json.beginObject()
                json.field("k", raw.span)
                json.endObject()
            }
            #expect(bytes.allSatisfy { $0 >= 0x20 && $0 < 0x7F })
            let decoded = try #require(
                try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: String])
            let expected = String(String.UnicodeScalarView(["a", Unicode.Scalar(byte), "b"]))
            #expect(decoded["k"] == expected)
        }
    }

    @Test func shortEscapesAreUsedForTheCommonOnes() {
        let raw: [UInt8] = Array("\"\\\u{8}\t\n\u{c}\r\u{1b}".utf8)
        #expect(text(line { $0.string(raw.span) }) == "\"\\\"\\\\\\b\\t\\n\\f\\r\\u001b\"")
    }

    @Test func validUTF8PassesAndBrokenUTF8IsEscapedByteByByte() {
        let good = "é € 😀"
        #expect(text(line { $0.string(good) }) == "\"\(good)\"")
        let cases: [([UInt8], String)] = [
            ([0xC3], "\\u00c3"),  // cut short
            ([0xC0, 0xAF], "\\u00c0\\u00af"),  // overlong
            ([0xED, 0xA0, 0x80], "\\u00ed\\u00a0\\u0080"),  // surrogate
            ([0xF4, 0x90, 0x80, 0x80], "\\u00f4\\u0090\\u0080\\u0080"),  // beyond U+10FFFF
            ([0xE2, 0x82, 0x41], "\\u00e2\\u0082A"),  // wrong continuation
            ([0xC2, 0x9B], "\\u00c2\\u009b"),  // C1 control (terminal escape)
            ([0xF0, 0x9F, 0x98], "\\u00f0\\u009f\\u0098"),  // cut short at the end
        ]
        for (raw, expected) in cases { #expect(text(line { $0.string(raw.span) }) == "\"\(expected)\"") }
    }

    @Test func aWriterIsUsableAgainAfterResetAndGrowsWhenNeeded() {
        var writer = JSONLineWriter(capacity: 64)
        let long = Array(repeating: UInt8(0x01), count: 5000)
        writer.string(long.span)
        #expect(writer.bytes.count == 30_002)
        writer.reset()
        writer.number(0)
        #expect(writer.bytes.count == 1)
        #expect(writer.bytes[0] == 0x30)
    }
}

@Suite struct LogBufferTests {
    private func contents(_ buffer: borrowing LogBuffer) -> String {
        text((0..<buffer.bytes.count).map { buffer.bytes[$0] })
    }

    @Test func linesComeOutInOrderAndSpaceIsUsedAgain() {
        var buffer = LogBuffer(limit: 1024)
        let row = Array(repeating: UInt8(0x61), count: 511) + [0x0A]
        for taken in [true, true, false] {
            let result = buffer.append(row.span)
            #expect(result == taken)
        }
        #expect(buffer.dropped == 1)
        buffer.consume(512)
        buffer.append(row.span)
        #expect(buffer.byteCount == 1024)
        buffer.consume(1024)
        #expect(buffer.byteCount == 0)
        #expect(buffer.lines == 3)
    }

    @Test func discardCountsEveryWaitingLine() {
        var buffer = LogBuffer()
        for row in ["a\n", "b\n", "c\n"] { buffer.append(Array(row.utf8).span) }
        let waiting = contents(buffer)
        #expect(waiting == "a\nb\nc\n")
        buffer.discard()
        #expect(buffer.dropped == 3)
        #expect(buffer.byteCount == 0)
    }

    @Test func wholeLinesNeverCutsALine() {
        var buffer = LogBuffer()
        for row in ["aaaa\n", "bb\n", "cccccccccccc\n"] { buffer.append(Array(row.utf8).span) }
        var cut: Int
        cut = buffer.wholeLines(within: 4)
        #expect(cut == 5)
        cut = buffer.wholeLines(within: 7)
        #expect(cut == 5)
        cut = buffer.wholeLines(within: 8)
        #expect(cut == 8)
        cut = buffer.wholeLines(within: 100)
        #expect(cut == 21)
    }
}
