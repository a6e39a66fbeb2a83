public import Buffers
import COpenSSL
import Glibc
public import Reactor

/// What a handshake settled.
public struct TLSConnectionInfo: Sendable {
    /// `TLSv1.2` or `TLSv1.3`.
    public var version: String
    public var cipher: String
    /// The server name the client sent, lower case; empty when it sent none.
    public var serverName: String
    /// The protocol chosen by ALPN (RFC 7301), for instance `h2`; empty when none was.
    public var alpn: String
    public var resumed: Bool
    /// JA4 of the ClientHello that was received; empty on the client's side.
    public var fingerprint = ""
    /// The client's certificate, when it showed one.
    public var peer: PeerCertificate?
    /// Who makes the records of what is sent.
    public var records = RecordMaker.openSSL
}

public enum RecordMaker: Sendable {
    /// This room (`COpenSSL/records.c`), OpenSSL, or the kernel (kTLS).
    case gateway, openSSL, kernel
}

public enum HandshakeResult: Sendable {
    /// Done. Application bytes may already wait inside: call `receive` now.
    case done(TLSConnectionInfo)
    case wantsRead
    case wantsWrite
    /// The note is for the log: what OpenSSL or the certificate check said.
    case failed(String)
}

/// TLS over a non-blocking socket. The descriptor belongs to the connection's channel, which closes it.
@safe public final class TLSTransport: Transport {
    private enum Context {
        case server(ServerContext)
        case client(ClientContext, serverName: String)
    }

    private enum Phase {
        case handshake, open, failed
    }

    private let context: Context
    let room: RecordRoom
    private let reactor: Reactor
    /// nil once its connection does without (`letSessionGo`), and when there is no memory.
    private(set) var session: OpaquePointer?
    let io: UnsafeMutablePointer<sluice_tls_io>?
    private var phase = Phase.handshake
    /// Bytes at the front of the caller's output that are encrypted already but not with the kernel yet.
    var encrypted = 0
    /// Monotonic milliseconds at the end of the handshake.
    private var opened: UInt64 = 0
    private var sentEnd = false
    /// Why the last call failed, for the log; empty when none did.
    public private(set) var failure = ""

    /// Room for what was read ahead behind a ClientHello.
    private static let readAhead = 4_096
    /// KeyUpdates and the like after the handshake: so many at once, and so many more per minute.
    private static let messagesPerMinute: UInt64 = 32

    /// The server's end.
    public convenience init(server context: ServerContext, fd: Int32, reactor: Reactor) {
        unsafe self.init(.server(context), context.room, context.makeSession(), fd, reactor)
        // SAFETY: the state belongs to this object.
        unsafe io?.pointee.receive_limit = context.helloBytes + TLSTransport.readAhead
        // SAFETY: as above.
        unsafe io?.pointee.hello_limit = context.helloBytes
        // SAFETY: as above.
        unsafe io?.pointee.whole = context.makesRecords ? 1 : 0
    }

    /// The client's end, towards an origin.
    /// - Parameter serverName: sent as SNI and checked against the certificate; an IP address is only checked.
    public convenience init(client context: ClientContext, fd: Int32, serverName: String, reactor: Reactor) {
        let session = unsafe context.makeSession(serverName: serverName)
        unsafe self.init(.client(context, serverName: serverName), context.room, session, fd, reactor)
        // SAFETY: the session is freed with this object, so the pointer never outlives it.
        unsafe SSL_set_ex_data(self.session, 0, Unmanaged.passUnretained(self).toOpaque())
    }

    private init(_ context: Context, _ room: RecordRoom, _ session: OpaquePointer?, _ fd: Int32, _ reactor: Reactor) {
        self.context = context
        self.room = room
        self.reactor = reactor
        unsafe self.session = session
        // SAFETY: session and state are freed together in deinit; the room is held by this object.
        if let session = unsafe session, let collected = unsafe room.collected {
            unsafe io = sluice_tls_attach(session, fd, collected)
        } else {
            unsafe io = nil
        }
        super.init()
    }

    deinit {
        // SAFETY: nothing else refers to them.
        unsafe sluice_tls_detach(session, io)
    }

    /// Where a client's sessions are kept for resumption.
    var sessionKeeper: (ClientContext, String)? {
        guard case .client(let context, let name) = context else { return nil }
        return (context, name)
    }

    /// The kernel makes the records of what is sent: plain bytes may go to the socket behind everything that was.
    // SAFETY: the state belongs to this object.
    public override var takesPlainBytes: Bool { unsafe io.map { unsafe $0.pointee.ktls != 0 && $0.pointee.kept_count == 0 } ?? false }

    /// Records of our own are read from what OpenSSL was not given, one that it was given it has used up.
    // SAFETY: the state belongs to this object.
    public override var isDrained: Bool { unsafe io.map { unsafe $0.pointee.records != nil && $0.pointee.drained != 0 && $0.pointee.in_count == 0 } ?? false }

    var isServer: Bool { if case .server = context { true } else { false } }

    // MARK: Handshake

    /// Goes on with the handshake; call again when the socket is ready for what it wants.
    public func handshake() -> HandshakeResult {
        guard let io = unsafe io else { return .failed("no memory for a TLS session") }
        guard phase != .failed else { return .failed(failure) }
        guard unsafe session != nil else { return .failed("the handshake is over") }
        unsafe io.pointee.drained = 0
        ERR_clear_error()
        // SAFETY: the session is alive as long as this object.
        let result = unsafe sluice_tls_handshake(session, io)
        let error = unsafe SSL_get_error(session, result)
        let flushed = flush()
        if result == 1 {
            if flushed == .failed { return fail("the connection broke during the handshake") }
            return flushed == .sent ? .done(opening()) : .wantsWrite
        }
        guard error == SSL_ERROR_WANT_READ else { return fail(handshakeNote(error)) }
        // What we sent lifts the limit on the first flight: the ClientHello was accepted.
        if unsafe io.pointee.sends > 0 || flushed != .sent { unsafe io.pointee.receive_limit = 0 }
        takeCounts()
        if flushed == .failed { return fail("the connection broke during the handshake") }
        return flushed == .pending ? .wantsWrite : .wantsRead
    }

    private func opening() -> TLSConnectionInfo {
        phase = .open
        opened = reactor.now
        // SAFETY: the state belongs to this object.
        unsafe io?.pointee.receive_limit = 0
        unsafe io?.pointee.messages = 0
        takeRecords()
        takeCounts()
        var info = connectionInfo()
        info.fingerprint = takeFingerprint()
        info.records = makesRecords ? .gateway : takesPlainBytes ? .kernel : .openSSL
        if makesRecords, info.peer == nil { letSessionGo() }
        return info
    }

    /// Who makes its own records has no more use for OpenSSL's session: four fifths of what an idle connection costs. One with a client's
    /// certificate stays, for whoever asks for its names.
    private func letSessionGo() {
        // SAFETY: nothing else refers to it, and no call of it is under way.
        unsafe sluice_tls_release(session)
        unsafe session = nil
    }

    private func takeFingerprint() -> String {
        guard let io = unsafe io, let hello = unsafe io.pointee.hello else { return "" }
        // SAFETY: C keeps `hello_count` bytes there until it is told to forget them.
        let message = unsafe Array(UnsafeBufferPointer(start: hello, count: io.pointee.hello_count))
        unsafe sluice_tls_forget_hello(io)
        return ClientHello(message)?.ja4 ?? ""
    }

    private func fail(_ note: String) -> HandshakeResult {
        phase = .failed
        failure = note
        takeCounts()
        return .failed(note)
    }

    private func handshakeNote(_ error: Int32) -> String {
        let queued = OpenSSLError.take()
        // SAFETY: the session is alive; the text is a static string of OpenSSL.
        let verification = unsafe SSL_get_verify_result(session)
        if case .client(let context, let name) = context, context.verifiesPeer, verification != X509_V_OK {
            return unsafe "the certificate for \(name) is not accepted: \(String(cString: X509_verify_cert_error_string(verification)))"
        }
        if queued.isHTTPRequest { return "plain HTTP was sent to a TLS port" }
        return ioNote(queued) ?? "handshake: \(queued.text)"
    }

    // MARK: Receiving

    /// Decrypts records until `buffer`'s free room is full or the socket is drained.
    ///
    /// Not drained means: call again when there is room, without waiting for the socket.
    /// An end without close_notify is `.failed(ECONNRESET)`: the message may be cut short.
    public override func receive(into buffer: inout ReadBuffer) -> IOResult {
        guard phase == .open, let io = unsafe io else { return .failed(EPROTO) }
        unsafe io.pointee.drained = 0
        if makesRecords { return receiveRecords(into: &buffer) }
        ERR_clear_error()
        var error = SSL_ERROR_NONE
        var total = 0
        // SAFETY: SSL_read writes at most the room it is given and answers how much.
        unsafe buffer.withFreeSpace { free in
            unsafe (total, error) = read(into: free)
            return total
        }
        takeCounts()
        // A KeyUpdate was answered, or an alert is waiting.
        if flush() == .failed, total == 0, error == SSL_ERROR_WANT_READ { return broken(systemError) }
        if !messagesAllowed() { return broken(EPROTO, "too many handshake messages on an open connection") }
        if total > 0 { return .moved(total, drained: error == SSL_ERROR_WANT_READ) }
        return ended(error)
    }

    private func read(into free: UnsafeMutableRawBufferPointer) -> (Int, Int32) {
        var total = 0
        while total < free.count {
            var count = 0
            // SAFETY: `free.count - total` bytes are free at that place.
            let result = unsafe SSL_read_ex(session, free.baseAddress.map { unsafe $0 + total }, free.count - total, &count)
            if result != 1 { return unsafe (total, SSL_get_error(session, result)) }
            total += count
        }
        return (total, SSL_ERROR_NONE)
    }

    private func ended(_ error: Int32) -> IOResult {
        switch error {
        case SSL_ERROR_WANT_READ: return .wouldBlock
        case SSL_ERROR_ZERO_RETURN: return .endOfStream
        default:
            let queued = OpenSSLError.take()
            if queued.isUnexpectedEOF { return broken(ECONNRESET, "the peer ended without close_notify") }
            let code = systemError
            if error == SSL_ERROR_SYSCALL { return broken(code == 0 ? ECONNRESET : code, ioNote(queued) ?? "the peer ended without close_notify") }
            return broken(EPROTO, queued.text)
        }
    }

    func messagesAllowed() -> Bool {
        // SAFETY: the state belongs to this object.
        guard let messages = unsafe io?.pointee.messages, messages > 0 else { return true }
        let minutes = (reactor.now &- opened) / 60_000
        return UInt64(messages) <= (minutes + 2) * TLSTransport.messagesPerMinute
    }

    func broken(_ code: Int32, _ note: String = "") -> IOResult {
        phase = .failed
        failure = note.isEmpty ? "the connection broke (errno \(code))" : note
        return .failed(code)
    }

    private func ioNote(_ queued: OpenSSLError) -> String? {
        let code = systemError
        if code == EMSGSIZE { return "the ClientHello is larger than its limit" }
        if queued.isUnexpectedEOF { return "the peer went away during the handshake" }
        if queued.code == 0 { return code == 0 ? "the peer went away" : "the connection broke (errno \(code))" }
        return nil
    }

    // MARK: Sending

    /// Encrypts and sends. Bytes leave `output` once the kernel has their records, so an output that
    /// is not empty means: call again when the socket is writable. Always the same output.
    public override func send(_ output: inout OutputBuffer) -> IOResult {
        guard phase == .open else { return .failed(EPROTO) }
        defer { takeCounts() }
        switch flush() {
        case .failed: return broken(systemError)
        case .pending: return settled(&output)
        case .sent: break
        }
        var moved = dropEncrypted(&output, keeping: 0)
        guard output.byteCount > 0 else { return .moved(moved, drained: false) }
        guard let count = encrypt(output) else { return refused() }
        encrypted = count
        switch flush() {
        case .failed: return broken(systemError)
        case .sent:
            moved += dropEncrypted(&output, keeping: 0)
            return .moved(moved, drained: false)
        case .pending:
            moved += dropEncrypted(&output, keeping: keptBytes)
            return moved > 0 ? .moved(moved, drained: true) : .wouldBlock
        }
    }

    public override func sendLast(_ output: inout OutputBuffer) -> IOResult {
        holdBack()
        return send(&output)
    }

    /// The kernel keeps the rest of a segment for what follows: close_notify, and FIN. It does what it is told of records of its own.
    private func holdBack() {
        // SAFETY: the state belongs to this object.
        guard let io = unsafe io, unsafe io.pointee.ktls == 0 else { return }
        unsafe io.pointee.more = 1
    }

    private func refused() -> IOResult {
        let why = makesRecords ? note : OpenSSLError.take().text
        // The room is everybody's: what was encrypted before the fault must not stay there.
        _ = flush()
        return broken(EPROTO, why)
    }

    // SAFETY: the state belongs to this object.
    private var keptBytes: Int { unsafe io?.pointee.kept_count ?? 0 }

    /// The errno of the call that failed, or 0.
    // SAFETY: the state belongs to this object.
    var systemError: Int32 { unsafe io?.pointee.error ?? 0 }

    private func settled(_ output: inout OutputBuffer) -> IOResult {
        let moved = dropEncrypted(&output, keeping: keptBytes)
        return moved > 0 ? .moved(moved, drained: true) : .wouldBlock
    }

    /// Records are longer than what they carry: at most `records` bytes of what was encrypted can be
    /// unsent while so many record bytes are.
    private func dropEncrypted(_ output: inout OutputBuffer, keeping records: Int) -> Int {
        let keep = min(encrypted, records)
        let gone = min(encrypted - keep, output.byteCount)
        encrypted = keep
        if gone > 0 { output.dropFirst(gone) }
        return gone
    }

    enum Flush { case sent, pending, failed }

    func flush() -> Flush {
        // SAFETY: the state belongs to this object.
        guard let io = unsafe io else { return .failed }
        let result = unsafe sluice_tls_flush(io)
        return result == 0 ? .sent : result > 0 ? .pending : .failed
    }

    /// Sends close_notify, then FIN.
    public override func finishSending() {
        guard phase == .open, !sentEnd, let io = unsafe io else { return }
        sentEnd = true
        holdBack()
        if makesRecords {
            // SAFETY: the state belongs to this object.
            _ = unsafe sluice_records_close(io)
        } else {
            ERR_clear_error()
            // SAFETY: the session is alive; what SSL_shutdown says of the peer's side does not matter here.
            _ = unsafe SSL_shutdown(session)
            ERR_clear_error()
        }
        if flush() == .sent { _ = unsafe sluice_tls_shutdown_write(io) }
        takeCounts()
    }

    func takeCounts() {
        // SAFETY: the state belongs to this object.
        guard let io = unsafe io else { return }
        unsafe reactor.syscalls.receive &+= Int(io.pointee.receives)
        unsafe reactor.syscalls.send &+= Int(io.pointee.sends)
        unsafe io.pointee.receives = 0
        unsafe io.pointee.sends = 0
    }
}
