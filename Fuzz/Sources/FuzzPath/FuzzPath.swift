import Buffers
import HTTP
import HTTP1
import Support

/// The first byte is the policy; the rest a path as the request parser lets it through.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 1 else { return 0 }
    let all = input(start, count)
    let policy = PathPolicy(keepsEncodedSlashes: all[0] & 1 != 0, mergesSlashes: all[0] & 2 != 0)
    let path = [47] + all.dropFirst()
    guard path.allSatisfy({ ASCIISet.target.contains($0) && $0 != 63 }), let once = normalized(path, policy) else { return 0 }
    require(once.first == 47, "a path that does not begin with a slash")
    require(normalized(once, policy) == once, "a path that changes when it is normalised again")
    // What a lenient origin makes of it has no dot segments either.
    let decoded = percentDecoded(once).map { $0 == 92 ? 47 : $0 }
    for segment in decoded.split(separator: 47) {
        let name = segment.prefix { $0 != 59 }
        require(name != [46] && name != [46, 46], "a dot segment is left: \(String(decoding: once, as: UTF8.self))")
    }
    require(!decoded.contains(0), "an encoded NUL is left")
    return 0
}

private func normalized(_ path: [UInt8], _ policy: PathPolicy) -> [UInt8]? {
    var head = Head()
    head.path = head.arena.append(path.span)
    switch PathNormalizer.check(head.bytes(head.path), policy: policy) {
    case .refused: return nil
    case .clean: return path
    case .needsWork: return PathNormalizer.normalize(&head, policy: policy) ? head.bytes(head.path).array() : nil
    }
}

private func percentDecoded(_ path: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    var at = 0
    while at < path.count {
        if path[at] == 37, at + 2 < path.count, let high = hexValue(path[at + 1]), let low = hexValue(path[at + 2]) {
            out.append(high << 4 | low)
            at += 3
        } else {
            out.append(path[at])
            at += 1
        }
    }
    return out
}
