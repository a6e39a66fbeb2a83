import COpenSSL
import Support
@testable import TLS

/// What a server's records come to, as the simplest reader of RFC 8446 says.
struct Model {
    enum End { case none, ended, broken }

    var end = End.none
    var expected: [UInt8] = []
    private var message: [UInt8] = []
    private var empty = 0
    var keyUpdates = 0

    /// - Returns: whether the sender's keys change behind it.
    mutating func take(_ type: UInt8, _ content: [UInt8], _ padding: Int) -> Bool {
        guard end == .none else { return false }
        var inside = content + [type]
        if inside.count + padding > 16_385 { return broken() }
        while inside.last == 0 { inside.removeLast() }
        switch inside.popLast() {
        case 21: return alert(inside)
        case 22: return handshake(inside)
        case 23: return data(inside)
        default: return broken()
        }
    }

    private mutating func broken() -> Bool {
        end = .broken
        return false
    }

    private mutating func data(_ bytes: [UInt8]) -> Bool {
        empty = bytes.isEmpty ? empty + 1 : 0
        if !message.isEmpty || empty > 32 { return broken() }
        expected += bytes
        return false
    }

    private mutating func alert(_ bytes: [UInt8]) -> Bool {
        guard message.isEmpty, bytes.count == 2, bytes[1] == 0 || bytes[1] == 90 else { return broken() }
        if bytes[1] == 0 { end = .ended }
        if bytes[1] == 90 { keyUpdates += 1 }
        return false
    }

    private mutating func handshake(_ bytes: [UInt8]) -> Bool {
        guard !bytes.isEmpty else { return broken() }
        for (index, byte) in bytes.enumerated() {
            message.append(byte)
            // Its kind is judged at once, its length when it is whole.
            guard message[0] == 24, message.count != 4 || message == [24, 0, 0, 1] else { return broken() }
            guard message.count == 5 else { continue }
            guard byte < 2, index + 1 == bytes.count else { return broken() }
            message = []
            keyUpdates += 1
            return true
        }
        return false
    }
}

/// The bytes of an input, as numbers.
struct Script {
    var rest: ArraySlice<UInt8>
    var isOver: Bool { rest.isEmpty }
    mutating func byte() -> Int { Int(rest.popFirst() ?? 0) }
    mutating func word() -> Int { byte() << 8 | byte() }
    mutating func bytes(_ count: Int) -> [UInt8] {
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }
}

/// The first byte chooses a suite and who speaks: 128 and more, the rest is what comes on the wire after the hand-over; less, it is
/// a script for a client that has the keys. What comes out is what was sent, in order, and nothing else.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 2 else { return 0 }
    var script = Script(rest: input(start, count)[...])
    let first = script.byte()
    var play = Play(Line(Contexts.all[first % 3]))
    if first >= 128 {
        let step = 1 + script.byte() * 8
        play.line.disturb(script.rest)
        while !play.line.wire.isEmpty, !play.isOver { play.read(step, room: step) }
        require(play.received.isEmpty, "bytes out of nothing")
        return 0
    }
    for _ in 0..<200 where !script.isOver { play.step(&script) }
    play.finish()
    return 0
}

struct Play {
    let line: Line
    var model = Model()
    var received: [UInt8] = []
    private var state = Int(SLUICE_RECORDS_FULL)
    private var isDisturbed = false
    private var serverUpdates = 0
    private var value: UInt8 = 0

    init(_ line: Line) { self.line = line }

    var isOver: Bool { state == Int(SLUICE_RECORDS_BROKEN) || state == Int(SLUICE_RECORDS_ENDED) }

    private mutating func pattern(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in
            value = value &* 37 &+ 11
            return value
        }
    }

    mutating func step(_ script: inout Script) {
        switch script.byte() % 9 {
        case 0, 1: send(23, pattern(script.word() % 16_400), padding: script.byte() & 1 == 0 ? 0 : script.word() % 17_000)
        case 2:
            let type = UInt8(script.byte())
            send(type, script.bytes(script.byte() % 12), padding: script.byte())
        case 3: send(22, [24, 0, 0, 1, UInt8(script.byte() & 1)], padding: script.byte())
        case 4:
            let cut = 1 + script.byte() % 4
            let message: [UInt8] = [24, 0, 0, 1, UInt8(script.byte() & 1)]
            send(22, Array(message[..<cut]))
            send(22, Array(message[cut...]))
        case 5: read(script.word(), room: 1 + script.word())
        case 6: for _ in 0...script.byte() % 40 { send(23, [], padding: script.byte() % 4) }
        case 7:
            let sent = pattern(1 + script.word())
            // A call takes so many slices; there are a thousand calls.
            let got = line.answer(sent, slices: max(1 + script.word() % 20_000, sent.count / 500))
            if isOver { require(got.isEmpty || state == Int(SLUICE_RECORDS_ENDED), "data behind an alert") }
            if !isOver { require(got == sent, "an answer that is another one") }
        default:
            let length = script.byte()
            guard length > 200, !script.isOver else { return updateServerKey() }
            isDisturbed = true
            line.disturb(script.bytes(length - 200))
        }
    }

    /// The client counts too: ours, and those that it asked for.
    private mutating func updateServerKey() {
        guard model.keyUpdates + serverUpdates < 60 else { return }
        serverUpdates += 1
        line.server.updateKey()
    }

    private mutating func send(_ type: UInt8, _ bytes: [UInt8], padding: Int = 0) {
        // More than that at once is refused, which is a matter of counting and not of records.
        guard !isDisturbed, model.keyUpdates + serverUpdates < 60 else { return }
        let changes = model.take(type, bytes, padding)
        line.client.sendRecord(Int32(type), bytes, padding: padding)
        // Off its socket, which has an end.
        line.disturb([])
        if changes { line.client.changeKeysSilently() }
    }

    mutating func read(_ moved: Int, room: Int) {
        line.move(moved)
        repeat {
            let turn = line.server.readRecords(room: room)
            received += turn.bytes
            state = turn.state
        } while state == Int(SLUICE_RECORDS_FULL)
        line.back()
        if !isOver { require(line.client.readRecords(room: 1).bytes.isEmpty, "data that nobody sent") }
        require(model.expected.starts(with: received), "other bytes than were sent")
    }

    mutating func finish() {
        repeat { read(65_536, room: 20_000) } while !line.wire.isEmpty && !isOver
        require(received == model.expected, "\(received.count) bytes came of \(model.expected.count)")
        switch model.end {
        case .broken: require(state == Int(SLUICE_RECORDS_BROKEN), "what nobody may send was taken")
        case .ended: require(state == Int(SLUICE_RECORDS_ENDED), "an end that is none")
        case .none: require(isDisturbed || state == Int(SLUICE_RECORDS_DRAINED), "refused: \(state), \(line.server.note), \(line.server.systemError), \(model.keyUpdates) key updates")
        }
    }
}
