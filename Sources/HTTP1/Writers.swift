public import Buffers
public import HTTP

/// What a message says about its connection.
public enum ConnectionOption: Sendable {
    case keepAlive, close, upgrade
}

/// Writes heads from the model, never from received bytes: no byte that was not understood goes out.
public enum RequestWriter {
    /// - Parameter connection: `.upgrade` passes the client's `Upgrade` field on; `.keepAlive` writes nothing.
    public static func write(_ head: borrowing Head, to output: inout OutputBuffer, connection: ConnectionOption = .keepAlive) {
        output.append(copying: head.bytes(head.methodName))
        output.append(byte: 32)
        output.append(copying: head.bytes(head.path))
        if head.hasQuery {
            output.append(byte: 63)
            output.append(copying: head.bytes(head.query))
        }
        output.append(" HTTP/1.1\r\nHost: ")
        output.append(copying: head.bytes(head.authority))
        output.append("\r\n")
        let skipped = ConnectionFields(head)
        for field in head.fields where field.id != .host && field.id != .expect {
            if skipped.keeps(field, head, upgrade: connection == .upgrade) { FieldWriter.write(field, head, &output) }
        }
        FieldWriter.writeFraming(head.body, isResponse: false, needsLength: needsLength(head.method), &output)
        FieldWriter.writeConnection(connection, &output)
        output.append("\r\n")
    }

    /// A request with a method that usually has a body says when it has none (RFC 9110 section 8.6).
    private static func needsLength(_ method: Method) -> Bool { method == .post || method == .put || method == .patch }
}

public enum ResponseWriter {
    /// - Parameter clientVersion: an HTTP/1.0 client is told `keep-alive` explicitly.
    public static func write(
        _ head: borrowing Head, to output: inout OutputBuffer, connection: ConnectionOption, clientVersion: HTTPVersion
    ) {
        writeStatusLine(head.status, reason: head.bytes(head.reason), to: &output)
        let skipped = ConnectionFields(head)
        for field in head.fields {
            if skipped.keeps(field, head, upgrade: connection == .upgrade) { FieldWriter.write(field, head, &output) }
        }
        let bodyless = head.status < 200 || head.status == 204 || head.status == 304
        if !bodyless { FieldWriter.writeFraming(head.body, isResponse: true, needsLength: false, &output) }
        if connection != .keepAlive || clientVersion == .http10 { FieldWriter.writeConnection(connection, &output, explicit: true) }
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
        let skipped = ConnectionFields(head)
        for field in head.fields where skipped.keeps(field, head, upgrade: false) { FieldWriter.write(field, head, &output) }
        output.append("\r\n")
    }

    private static func writeStatusLine(_ status: Int, reason: borrowing Span<UInt8>, to output: inout OutputBuffer) {
        output.append("HTTP/1.1 ")
        output.append(decimal: status)
        output.append(byte: 32)
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
}

/// Which fields of a head belong to its connection only (RFC 9110 section 7.6.1).
struct ConnectionFields {
    private let named: ByteRange?

    init(_ head: borrowing Head) { named = head.value(of: .connection) }

    func keeps(_ field: Field, _ head: borrowing Head, upgrade: Bool) -> Bool {
        if field.id == .contentLength { return false }
        if field.id.isHopByHop { return upgrade && field.id == .upgrade || keepsTE(field, head) }
        guard let named, field.id == .other else { return true }
        return !isNamed(head.bytes(field.name), in: head.bytes(named))
    }

    /// `TE: trailers` is the one TE that says something end to end (gRPC asks for it).
    private func keepsTE(_ field: Field, _ head: borrowing Head) -> Bool {
        field.id == .te && head.bytes(field.value).equalsIgnoringCase("trailers") && false
    }

    private func isNamed(_ name: borrowing Span<UInt8>, in list: borrowing Span<UInt8>) -> Bool {
        var reader = ListReader()
        while let item = reader.next(list) {
            if list.extracting(item).equalsIgnoringCase(name) { return true }
        }
        return false
    }
}

enum FieldWriter {
    static func write(_ field: Field, _ head: borrowing Head, _ output: inout OutputBuffer) {
        output.append(copying: head.bytes(field.name))
        output.append(": ")
        output.append(copying: head.bytes(field.value))
        output.append("\r\n")
    }

    static func writeFraming(_ body: BodyLength, isResponse: Bool, needsLength: Bool, _ output: inout OutputBuffer) {
        switch body {
        case .known(let count): writeLength(count, &output)
        case .unknown: output.append("Transfer-Encoding: chunked\r\n")
        case .none: if needsLength { writeLength(0, &output) }
        case .untilClose: break
        }
    }

    private static func writeLength(_ count: Int, _ output: inout OutputBuffer) {
        output.append("Content-Length: ")
        output.append(decimal: count)
        output.append("\r\n")
    }

    static func writeConnection(_ option: ConnectionOption, _ output: inout OutputBuffer, explicit: Bool = false) {
        switch option {
        case .keepAlive: if explicit { output.append("Connection: keep-alive\r\n") }
        case .close: output.append("Connection: close\r\n")
        case .upgrade: output.append("Connection: Upgrade\r\n")
        }
    }
}

/// Standard reason phrases (RFC 9110 section 15 and the IANA registry).
public enum StatusText {
    public static func reason(_ status: Int) -> StaticString {
        switch status {
        case 100: "Continue"
        case 101: "Switching Protocols"
        case 103: "Early Hints"
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 206: "Partial Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 411: "Length Required"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 422: "Unprocessable Content"
        case 426: "Upgrade Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 451: "Unavailable For Legal Reasons"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        case 508: "Loop Detected"
        default: "Status"
        }
    }
}
