import Buffers
import COpenSSL
import Glibc
import Reactor

// Records of our own, for servers with TLS 1.3 (`COpenSSL/records.c`). What is said of `receive` and `send` holds
// for them too.

extension TLSTransport {
    // SAFETY: the state belongs to this object.
    var makesRecords: Bool { unsafe io?.pointee.records != nil }

    /// After a handshake: takes the connection over from OpenSSL where that is possible.
    func takeRecords() {
        // SAFETY: both live as long as this object; clients' ends are left to OpenSSL.
        guard let io = unsafe io, let session = unsafe session, unsafe io.pointee.whole != 0 else { return }
        _ = unsafe sluice_records_begin(io, session)
        unsafe io.pointee.whole = 0
    }

    func receiveRecords(into buffer: inout ReadBuffer) -> IOResult {
        guard let io = unsafe io else { return .failed(EPROTO) }
        var total = 0
        var state: Int32 = 0
        // SAFETY: C writes at most the room it is given and says how much.
        unsafe buffer.withFreeSpace { free in
            unsafe state = sluice_records_read(io, free.bindMemory(to: UInt8.self).baseAddress, free.count, &total)
            return total
        }
        takeCounts()
        // A KeyUpdate was answered, or an alert is waiting. Asked first: nearly always neither.
        let waits = unsafe io.pointee.room.pointee.collected > 0 || io.pointee.kept_count > 0
        if waits, flush() == .failed, total == 0, Int(state) == SLUICE_RECORDS_DRAINED { return broken(systemError) }
        if !messagesAllowed() { return broken(EPROTO, "too many handshake messages on an open connection") }
        if total > 0 { return .moved(total, drained: Int(state) == SLUICE_RECORDS_DRAINED) }
        switch Int(state) {
        case SLUICE_RECORDS_DRAINED: return .wouldBlock
        case SLUICE_RECORDS_ENDED: return .endOfStream
        default: return broken(systemError, note)
        }
    }

    // SAFETY: a static string of `records.c`.
    var note: String { unsafe io?.pointee.note.map { unsafe String(cString: $0) } ?? "" }

    /// - Returns: how many plain bytes are in records now, or nil when OpenSSL refuses.
    func seal(_ vectors: UnsafeMutableBufferPointer<iovec>) -> Int? {
        guard let io = unsafe io else { return nil }
        // SAFETY: the slices are alive while the caller borrows its output, and only read.
        let count = unsafe sluice_records_write(io, vectors.baseAddress, Int32(vectors.count), RecordRoom.plainBytes)
        return count < 0 ? nil : count
    }
}
