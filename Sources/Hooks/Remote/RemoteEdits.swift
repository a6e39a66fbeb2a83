import Buffers
import HTTP

// Staged edits on the wire. The worker stages what it reads anew, so a cordon can want nothing that a script could not.
extension StagedEdits {
    private enum Tag: UInt8 { case end, edit, method, target, status, requestBody, responseBody }

    borrowing func write(to wire: inout WireWriter) {
        for index in 0..<count {
            let edit = edit(at: index)
            wire.byte(Tag.edit.rawValue)
            wire.byte(UInt8(clamping: edit.side.rawValue))
            wire.byte(UInt8(clamping: edit.action.rawValue))
            wire.bytes(arena[edit.name])
            wire.bytes(arena[edit.value])
        }
        if let method {
            wire.byte(Tag.method.rawValue)
            wire.bytes(arena[method])
        }
        if let target {
            wire.byte(Tag.target.rawValue)
            wire.bytes(arena[target.authority])
            wire.bytes(arena[target.path])
            wire.flag(target.query != nil)
            if let query = target.query { wire.bytes(arena[query]) }
        }
        // 101 comes with its body and no other way.
        if status != 0, status != 101 {
            wire.byte(Tag.status.rawValue)
            wire.number32(UInt32(clamping: status))
            wire.bytes(arena[reason])
        }
        if requestBody != .unchanged {
            wire.byte(Tag.requestBody.rawValue)
            wire.body(requestBody)
        }
        if responseBody != .unchanged {
            wire.byte(Tag.responseBody.rawValue)
            wire.body(responseBody)
        }
        wire.byte(Tag.end.rawValue)
    }

    /// - Returns: how many fields were refused because they are the gateway's.
    mutating func read(from wire: inout WireReader) throws(WireError) -> Int {
        reset()
        var refused = 0
        while true {
            guard let tag = Tag(rawValue: try wire.byte()) else { throw WireError("no kind of edit") }
            switch tag {
            case .end:
                guard arena.count <= 2 * HeldLimits.text else { throw WireError("more text than a call may stage") }
                return refused
            case .edit: if try readEdit(&wire) == .refused { refused += 1 }
            case .method: if !setMethod(wire.bytes.extracting(try wire.data())) { throw WireError("not a method") }
            case .target: try readTarget(&wire)
            case .status:
                let status = Int(try wire.number32())
                if !setStatus(status, wire.bytes.extracting(try wire.data())) { throw WireError("not a status") }
            case .requestBody:
                let body = try wire.body()
                guard body != .socket else { throw WireError("a request that is a WebSocket") }
                setBody(.request, body)
            case .responseBody:
                let body = try wire.body()
                if body == .socket { acceptSocket() } else { setBody(.response, body) }
            }
        }
    }

    private mutating func readEdit(_ wire: inout WireReader) throws(WireError) -> Verdict {
        guard let side = HookSide(rawValue: Int32(try wire.byte())), let action = Action(rawValue: Int32(try wire.byte()))
        else { throw WireError("not an edit") }
        let name = try wire.data(), value = try wire.data()
        let verdict = add(action, side, wire.bytes.extracting(name), wire.bytes.extracting(value))
        if verdict == .malformed { throw WireError("a field that HTTP does not allow") }
        return verdict
    }

    private mutating func readTarget(_ wire: inout WireReader) throws(WireError) {
        var url = ByteArena(capacity: 512)
        _ = url.append("http://")
        _ = url.append(wire.bytes.extracting(try wire.data()))
        _ = url.append(wire.bytes.extracting(try wire.data()))
        if try wire.flag() {
            _ = url.append("?")
            _ = url.append(wire.bytes.extracting(try wire.data()))
        }
        if !setURL(url[url.range(since: 0)]) { throw WireError("not a URL") }
    }
}
