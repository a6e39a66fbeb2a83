import Foundation
@testable import Hooks
import Support

/// A source map as somebody's bundler wrote it: read, or left alone, and every place inside what it names.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = input(start, count)
    _ = SmallJSON.read(bytes)
    let names = ["a.ts", "../b.ts", "//c"], mappings = String(decoding: bytes, as: UTF8.self)
    let json = (try? JSONSerialization.data(withJSONObject: ["sources": names, "mappings": mappings])) ?? Data()
    look(SourceMap(of: module(json), at: "hooks/a.js"))
    look(SourceMap(of: module(Data(bytes)), at: "hooks/a.js"))
    return 0
}

private func module(_ map: Data) -> String {
    "let a;\n//# sourceMappingURL=data:application/json;base64,\(map.base64EncodedString())\n"
}

private func look(_ map: SourceMap?) {
    guard let map else { return }
    for line in [0, 1, 2, 5, .max - 1] {
        for column in [0, 1, 7, .max - 1] {
            guard let place = map.original(line: line, column: column) else { continue }
            require(place.line >= 1 && place.column >= 1 && !place.file.isEmpty, "a place that is none")
        }
    }
}
