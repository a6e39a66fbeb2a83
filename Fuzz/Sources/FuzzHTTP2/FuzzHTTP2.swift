import Buffers
import HTTP
import HTTP2
import Support

/// The first byte says which end we are and how large the pieces are; the rest is what the peer sends after its greeting: frames,
/// HPACK and everything between, through nghttp2 and what stands before and behind it.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 1 else { return 0 }
    let all = input(start, count)
    let isServer = all[0] & 128 == 0
    let pool = SlabPool()
    let session: HTTP2Session = isServer ? ServerSession(pool: pool) : OriginSession(pool: pool, limits: HTTP2Limits())
    let greeting = (isServer ? Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) : []) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
    if let origin = session as? OriginSession { origin.ask(3) }
    play(session, pool, greeting + all.dropFirst(), step: 1 + Int(all[0] & 127) * 5)
    session.close()
    require(session.activeStreams == 0, "streams are left")
    return 0
}

private func play(_ session: HTTP2Session, _ pool: SlabPool, _ bytes: [UInt8], step: Int) {
    var buffer = ReadBuffer(pool: pool)
    var output = OutputBuffer(pool: pool)
    var now: UInt64 = 1_000
    var start = 0
    for end in cuts(bytes.count, step: step) {
        while start < end { start += buffer.append(copying: bytes.span.extracting(start..<end)) > 0 ? taken(&buffer, session, &now) : 1 }
        session.writeOutput(&output)
        output.removeAll()
        require(session.activeStreams <= HTTP2Limits().concurrentStreams, "more streams than are allowed")
    }
}

private func taken(_ buffer: inout ReadBuffer, _ session: HTTP2Session, _ now: inout UInt64) -> Int {
    let count = buffer.count
    now += 1
    _ = session.receive(&buffer, now: now)
    require(buffer.isEmpty, "something is left unread")
    return count
}

/// Names are lower-case tokens, values have no control byte, and a target is one.
private func requireClean(_ head: borrowing Head) {
    for field in head.fields {
        let name = head.bytes(field.name).array(), value = head.bytes(field.value).array()
        // Host and Cookie are made here, of :authority and of crumbs.
        let isOurs = field.id == .host || field.id == .cookie
        require(!name.isEmpty && name.allSatisfy { ASCIISet.token.contains($0) && (isOurs || !(65...90).contains($0)) }, "a name that is none: \(name)")
        require(value.allSatisfy { $0 == 9 || $0 >= 32 && $0 != 127 }, "a control byte in a value")
        require(!["connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection"].contains(String(decoding: name, as: UTF8.self)), "a field of a connection")
    }
}

private func requireTarget(_ head: borrowing Head) {
    let path = head.bytes(head.path).array()
    require(head.method == .connect || path == [42] || path.first == 47, "a path without a slash")
    require(path.allSatisfy { ASCIISet.target.contains($0) }, "a byte that no target has")
    let authority = head.bytes(head.authority).array()
    let isValid = Authority.isValid(authority.span)
    require(authority.isEmpty || isValid, "an authority that is none")
    require(!head.bytes(head.methodName).array().isEmpty, "no method")
}

private final class ServerSession: HTTP2Session {
    init(pool: SlabPool) { super.init(pool: pool, limits: HTTP2Limits()) }
    override func makeStream() -> HTTP2Stream { ServerStream() }
}

private final class ServerStream: HTTP2Stream {
    private var ended = false
    private var announced = false

    override func headComplete(endOfStream: Bool) {
        require(!announced, "a head twice")
        announced = true
        requireClean(head)
        requireTarget(head)
    }

    override func dataArrived(_ slice: consuming Slice) {
        require(announced && !ended, "a body without its head or behind its end")
        consumed(slice.count)
    }

    override func endOfRequest(trailers: borrowing Head) {
        require(announced && !ended, "an end twice")
        ended = true
        requireClean(trailers)
        var response = Head()
        response.status = 200
        sendResponse(response, endOfStream: true)
        workEnded()
        worked = true
    }

    private var worked = false

    override func headRefused(_ error: ErrorKind) {
        announced = true
        worked = true
        super.headRefused(error)
    }

    override func closed(_ code: HTTP2ErrorCode) { if announced, !worked { workEnded() } }
}

private final class OriginSession: HTTP2OriginSession {
    func ask(_ count: Int) {
        for _ in 0..<count {
            let stream = OriginStream()
            var request = Head()
            request.setMethod(Array("GET".utf8).span)
            request.authority = request.arena.append("localhost")
            request.path = request.arena.append("/")
            send(request, stream)
        }
    }

    private func send(_ request: borrowing Head, _ stream: OriginStream) { _ = open(stream, request, secure: true, endOfStream: true) }
}

private final class OriginStream: HTTP2OriginStream {}
