import Foundation
import Reactor
import Support
import Telemetry

/// What a stranger can get into a log: one line, JSON that others read too, nothing a terminal obeys.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = input(start, count)
    var writer = JSONLineWriter(capacity: 64)
    writer.beginObject()
    writer.field("bytes", bytes.span)
    writer.field("text", String(decoding: bytes, as: UTF8.self))
    writer.beginArray("list")
    writer.string(bytes.span)
    writer.number(count)
    writer.endArray()
    writer.endObject()
    let line = writer.bytes.withUnsafeBufferPointer { Array($0) }
    guard let written = String(validating: line, as: UTF8.self) else { fatalError("a line that is no UTF-8") }
    for scalar in written.unicodeScalars { require(scalar.value >= 0x20 && !(0x7f..<0xa0).contains(scalar.value), "a control character in a line") }
    guard let read = try? JSONSerialization.jsonObject(with: Data(line)) as? [String: Any], let list = read["list"] as? [Any] else {
        fatalError("a line that is no JSON: \(written)")
    }
    require(read["bytes"] as? String == list.first as? String && read["bytes"] != nil, "the same bytes are written in two ways")
    return 0
}
