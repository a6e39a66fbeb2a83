public import Buffers
public import HTTP

/// What a message says about its connection.
public enum ConnectionOption: Sendable {
    case keepAlive, close, upgrade
}

/// Writes request heads from the model: no byte that was not understood goes out.
public enum RequestWriter {
    /// - Parameter connection: `.upgrade` passes the client's `Upgrade` field on; `.keepAlive` writes nothing.
    public static func write(_ head: borrowing Head, to output: inout OutputBuffer, connection: ConnectionOption = .keepAlive) {
        output.append(copying: head.bytes(head.methodName))
        output.append(byte: ASCII.space)
        writeTarget(head, &output)
        output.append(" HTTP/1.1\r\nHost: ")
        output.append(copying: head.bytes(head.authority))
        output.append("\r\n")
        FieldWriter.writeFields(head, &output, .request, upgrade: connection == .upgrade)
        FieldWriter.writeFraming(head.body, needsLength: needsLength(head.method), &output)
        FieldWriter.writeConnection(connection, &output, explicit: false)
        output.append("\r\n")
    }

    private static func writeTarget(_ head: borrowing Head, _ output: inout OutputBuffer) {
        if head.method == .connect { return output.append(copying: head.bytes(head.authority)) }
        // What was received as `path?query` is still there in one piece, unless something was rewritten.
        let end = head.path.end
        if head.hasQuery, Int(head.query.start) == end + 1, head.query.end <= head.arena.count, head.arena[end] == UInt8(ascii: "?") {
            let target = ByteRange(start: Int(head.path.start), count: head.query.end - Int(head.path.start))
            return output.append(copying: head.bytes(target))
        }
        output.append(copying: head.bytes(head.path))
        guard head.hasQuery else { return }
        output.append(byte: UInt8(ascii: "?"))
        output.append(copying: head.bytes(head.query))
    }

    /// A request with a method that usually has a body says when it has none (RFC 9110 section 8.6).
    private static func needsLength(_ method: Method) -> Bool { method == .post || method == .put || method == .patch }
}

/// Writes response heads from the model.
public enum ResponseWriter {
    /// - Parameter clientVersion: an HTTP/1.0 client is told `keep-alive` explicitly.
    public static func write(
        _ head: borrowing Head, to output: inout OutputBuffer, connection: ConnectionOption, clientVersion: HTTPVersion
    ) {
        writeStatusLine(head.status, reason: head.bytes(head.reason), to: &output)
        FieldWriter.writeFields(head, &output, .response, upgrade: connection == .upgrade)
        let bodyless = head.status < 200 || head.status == 204 || head.status == 304
        if !bodyless { FieldWriter.writeFraming(head.body, needsLength: false, &output) }
        FieldWriter.writeConnection(connection, &output, explicit: clientVersion == .http10)
        output.append("\r\n")
    }

    /// A response without fields, for instance 100 Continue.
    public static func writeInterim(status: Int, to output: inout OutputBuffer) {
        writeStatusLine(status, reason: Span(), to: &output)
        output.append("\r\n")
    }

    /// An interim head with its fields, for instance 103 Early Hints.
    public static func writeInterim(_ head: borrowing Head, to output: inout OutputBuffer) {
        writeStatusLine(head.status, reason: head.bytes(head.reason), to: &output)
        FieldWriter.writeFields(head, &output, .response, upgrade: false)
        output.append("\r\n")
    }

    private static func writeStatusLine(_ status: Int, reason: borrowing Span<UInt8>, to output: inout OutputBuffer) {
        if status == 200, reason.count == 0 || reason.equals("OK") { return output.append("HTTP/1.1 200 OK\r\n") }
        output.append("HTTP/1.1 ")
        output.append(decimal: status)
        output.append(byte: ASCII.space)
        if reason.count > 0 { output.append(copying: reason) } else { output.append(StatusText.reason(status)) }
        output.append("\r\n")
    }
}

/// Chunked framing of a body that is being written (RFC 9112 section 7.1).
public enum BodyWriter {
    /// - Precondition: `count` is above 0: an empty chunk would end the body.
    public static func beginChunk(_ count: Int, to output: inout OutputBuffer) {
        precondition(count > 0)
        output.append(hex: count)
        output.append("\r\n")
    }

    public static func endChunk(to output: inout OutputBuffer) { output.append("\r\n") }

    public static func endBody(to output: inout OutputBuffer) { output.append("0\r\n\r\n") }

    /// Ends a body with the fields of `trailers`, without those that may not stand there (RFC 9110 section 6.5.1).
    public static func endBody(trailers: borrowing Head, to output: inout OutputBuffer) {
        output.append("0\r\n")
        for field in trailers.fields where TrailerSection.meaning(field.id) == .kept {
            FieldWriter.write(field, trailers, &output)
        }
        output.append("\r\n")
    }
}

/// Which fields of a head belong to its connection only (RFC 9110 section 7.6.1).
struct ConnectionFields {
    enum Direction { case request, response }

    private let direction: Direction
    private let upgrade: Bool
    /// Index of the first `Connection` field, or nil.
    private let first: Int?

    init(_ head: borrowing Head, _ direction: Direction, upgrade: Bool) {
        self.direction = direction
        self.upgrade = upgrade
        first = head.firstIndex(of: .connection)
    }

    /// A name that `Connection` lists is dropped, but never one that rules, origins or clients rely on: every known
    /// end-to-end field and all of `X-Forwarded-*` stay, whoever tries to have them removed.
    @inline(__always)
    func keeps(_ field: Field, _ head: borrowing Head) -> Bool {
        switch field.id {
        case .other: first == nil || !isListed(field, head)
        case .contentLength, .connection, .keepAlive, .proxyConnection, .te, .trailer, .transferEncoding, .http2Settings: false
        case .upgrade: upgrade
        case .host, .expect, .proxyAuthorization: direction == .response
        case .proxyAuthenticate: direction == .request
        default: true
        }
    }

    private func isListed(_ field: Field, _ head: borrowing Head) -> Bool {
        let name = head.bytes(field.name)
        if name.count > 12, name.extracting(first: 12).equalsIgnoringCase("x-forwarded-") { return false }
        var index = first
        while let at = index {
            index = head.firstIndex(of: .connection, from: at + 1)
            let list = head.bytes(head.fields[at].value)
            // What most of them say names a field that is none of these.
            if list.equalsIgnoringCase("keep-alive") { continue }
            var reader = ListReader()
            while let item = reader.next(list) {
                if list.extracting(item).equalsIgnoringCase(name) { return true }
            }
        }
        return false
    }
}

enum FieldWriter {
    /// Writes the fields that travel on, in order and in their spelling.
    ///
    /// Neighbours that already stand in the arena as `name: value CRLF`, byte for byte what would be written, go out
    /// as one copy; a received head of which nothing was changed is two or three.
    static func writeFields(
        _ head: borrowing Head, _ output: inout OutputBuffer, _ direction: ConnectionFields.Direction, upgrade: Bool
    ) {
        let rule = ConnectionFields(head, direction, upgrade: upgrade)
        var start = 0
        var end = 0
        for index in head.fields.indices {
            let field = head.fields[index]
            guard rule.keeps(field, head) else { continue }
            let isLine = standsAsLine(field, head)
            if isLine, Int(field.name.start) == end {
                end = field.value.end + 2
                continue
            }
            if end > start { output.append(copying: head.bytes(ByteRange(start: start, count: end - start))) }
            if isLine {
                start = Int(field.name.start)
                end = field.value.end + 2
            } else {
                start = 0
                end = 0
                write(field, head, &output)
            }
        }
        if end > start { output.append(copying: head.bytes(ByteRange(start: start, count: end - start))) }
    }

    @inline(__always)
    private static func standsAsLine(_ field: Field, _ head: borrowing Head) -> Bool {
        let colon = field.name.end
        let end = field.value.end
        return Int(field.value.start) == colon + 2 && end + 2 <= head.arena.count && head.arena[colon] == UInt8(ascii: ":")
            && head.arena[colon + 1] == ASCII.space && head.arena[end] == ASCII.carriageReturn
            && head.arena[end + 1] == ASCII.lineFeed
    }

    static func write(_ field: Field, _ head: borrowing Head, _ output: inout OutputBuffer) {
        output.append(copying: head.bytes(field.name))
        output.append(": ")
        output.append(copying: head.bytes(field.value))
        output.append("\r\n")
    }

    static func writeFraming(_ body: BodyLength, needsLength: Bool, _ output: inout OutputBuffer) {
        switch body {
        case .known(let count): writeLength(count, &output)
        case .unknown: output.append("Transfer-Encoding: chunked\r\n")
        case .none: if needsLength { output.append("Content-Length: 0\r\n") }
        case .untilClose: break
        }
    }

    private static func writeLength(_ count: Int, _ output: inout OutputBuffer) {
        output.append("Content-Length: ")
        output.append(decimal: count)
        output.append("\r\n")
    }

    static func writeConnection(_ option: ConnectionOption, _ output: inout OutputBuffer, explicit: Bool) {
        switch option {
        case .keepAlive: if explicit { output.append("Connection: keep-alive\r\n") }
        case .close: output.append("Connection: close\r\n")
        case .upgrade: output.append("Connection: Upgrade\r\n")
        }
    }
}
