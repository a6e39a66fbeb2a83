import Buffers
import COpenSSL
import Glibc

extension TLSTransport {
    /// Slices shorter than this are worth a copy to share a record: a record costs 22 bytes and about
    /// as much time as copying 8 KiB.
    private static let smallBytes = 4_096

    /// Encrypts the front of `output` into the room, at most eight full records.
    /// - Returns: how many plain bytes, or nil when OpenSSL refuses.
    func encrypt(_ output: borrowing OutputBuffer) -> Int? {
        // SAFETY: the slices are alive while the output is borrowed, and only read.
        if makesRecords { return unsafe output.chain.withIOVectors { vectors, _ in unsafe seal(vectors) } }
        // An old error would be taken for one of the call that follows.
        ERR_clear_error()
        // SAFETY: as above.
        return unsafe output.chain.withIOVectors { vectors, _ in unsafe encrypt(vectors) }
    }

    private func encrypt(_ vectors: UnsafeMutableBufferPointer<iovec>) -> Int? {
        // SAFETY: indices stay below the count, and what vectors point to is readable.
        var done = 0
        var index = 0
        while index < vectors.count, done < RecordRoom.plainBytes {
            let run = unsafe smallRun(vectors, from: index)
            let written: Int?
            if run > 1 {
                written = unsafe writeGathered(vectors, index..<(index + run))
                index += run
            } else {
                let length = unsafe min(vectors[index].iov_len, RecordRoom.plainBytes - done)
                written = unsafe write(vectors[index].iov_base, length)
                index += 1
            }
            guard let written else { return nil }
            done += written
        }
        return done
    }

    /// How many slices from `first` on become one record: a small one and what fits behind it.
    private func smallRun(_ vectors: UnsafeMutableBufferPointer<iovec>, from first: Int) -> Int {
        // SAFETY: indices stay below the count.
        guard unsafe vectors[first].iov_len < TLSTransport.smallBytes else { return 1 }
        var total = unsafe vectors[first].iov_len
        var next = first + 1
        while next < vectors.count, unsafe total + vectors[next].iov_len <= RecordRoom.recordBytes {
            unsafe total += vectors[next].iov_len
            next += 1
        }
        return next - first
    }

    private func writeGathered(_ vectors: UnsafeMutableBufferPointer<iovec>, _ range: Range<Int>) -> Int? {
        var total = 0
        for index in range {
            let vector = unsafe vectors[index]
            guard let base = unsafe vector.iov_base else { continue }
            // SAFETY: `smallRun` chose slices that fit together into one record's room.
            unsafe memcpy(room.gathered + total, base, vector.iov_len)
            unsafe total += vector.iov_len
        }
        return unsafe write(room.gathered, total)
    }

    private func write(_ bytes: UnsafeRawPointer?, _ length: Int) -> Int? {
        var written = 0
        // SAFETY: `length` bytes are readable there. The BIO takes every record, so all is written at once.
        guard unsafe SSL_write_ex(session, bytes, length, &written) == 1 else { return nil }
        return written
    }

    func connectionInfo() -> TLSConnectionInfo {
        // SAFETY: the session is alive; OpenSSL's strings live at least as long as it.
        let version = unsafe String(cString: SSL_get_version(session))
        let cipher = unsafe SSL_CIPHER_get_name(SSL_get_current_cipher(session)).map { unsafe String(cString: $0) }
        let name = unsafe SSL_get_servername(session, Int32(TLSEXT_NAMETYPE_host_name)).map { unsafe String(cString: $0) }
        var alpn: UnsafePointer<UInt8>? = nil
        var alpnLength: UInt32 = 0
        unsafe SSL_get0_alpn_selected(session, &alpn, &alpnLength)
        let chosen = unsafe UnsafeBufferPointer(start: alpn, count: Int(alpnLength))
        return unsafe TLSConnectionInfo(
            version: version, cipher: cipher ?? "", serverName: (name ?? "").lowercased(),
            alpn: String(decoding: chosen, as: UTF8.self), resumed: SSL_session_reused(session) == 1,
            peer: isServer ? peerCertificate() : nil)
    }
}
