import Buffers
import CNghttp2

// RFC 9218: the client's wishes (`Priority` field, PRIORITY_UPDATE) order the DATA of its streams; nghttp2 keeps the
// queue. What clients say of priorities in the manner of RFC 7540 is ignored.

extension HTTP2Session {
    /// How many streams that have not begun a client may prioritise: no more than it may open.
    private var prioritisedMost: Int { limits.concurrentStreams }

    /// PRIORITY_UPDATE for a stream. nghttp2 has taken it in.
    func priorityUpdated(_ id: Int32) {
        guard id > history.highest, prioritised.count < prioritisedMost, !prioritised.contains(id) else { return }
        prioritised.append(id)
    }

    /// Without a wish of the client, streams share the connection instead of going one after the other.
    func settlePriority(_ stream: HTTP2Stream) {
        // A PRIORITY_UPDATE is younger than the field (RFC 9218 section 7).
        if let wished = prioritised.firstIndex(of: stream.number) {
            prioritised.swapAt(wished, prioritised.count - 1)
            prioritised.removeLast()
            return
        }
        let asked = stream.intake.priority ?? Priority(isIncremental: true)
        var priority = nghttp2_extpri(urgency: UInt32(asked.urgency), inc: asked.isIncremental ? 1 : 0)
        // SAFETY: the structure is only read inside the call.
        unsafe nghttp2_session_change_extpri_stream_priority(raw, stream.number, &priority, 0)
    }
}

/// What a `Priority` field asks for (RFC 9218 section 4).
struct Priority: Equatable {
    /// 0, the most urgent, to 7.
    var urgency: UInt8 = 3
    var isIncremental = false

    /// Reads a dictionary (RFC 8941 section 3.2). Members that are unknown or have a value that they may not have count as
    /// absent.
    mutating func read(_ text: borrowing Span<UInt8>) {
        var at = 0
        while at < text.count {
            let end = Priority.endOfMember(text, from: at)
            readMember(text.extracting(at..<end))
            at = end + 1
        }
    }

    /// The next comma that is not inside a string, or the end.
    private static func endOfMember(_ text: borrowing Span<UInt8>, from start: Int) -> Int {
        var at = start
        var quoted = false
        while at < text.count, quoted || text[at] != UInt8(ascii: ",") {
            if text[at] == UInt8(ascii: "\"") { quoted.toggle() }
            at += quoted && text[at] == UInt8(ascii: "\\") ? 2 : 1
        }
        return min(at, text.count)
    }

    private mutating func readMember(_ member: borrowing Span<UInt8>) {
        var start = 0
        while start < member.count, member[start] == 32 || member[start] == 9 { start += 1 }
        // Parameters mean nothing here.
        var end = start
        while end < member.count, member[end] != UInt8(ascii: ";"), member[end] != 32, member[end] != 9 { end += 1 }
        let item = member.extracting(start..<end)
        if item.equals("i") || item.equals("i=?1") {
            isIncremental = true
        } else if item.equals("i=?0") {
            isIncremental = false
        } else if item.count == 3, item[0] == UInt8(ascii: "u"), item[1] == UInt8(ascii: "="), item[2] & ~7 == UInt8(ascii: "0") {
            urgency = item[2] & 7
        }
    }
}
