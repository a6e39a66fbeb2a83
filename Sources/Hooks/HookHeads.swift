import Buffers
import HTTP
import Isolates

// Operations on the heads of a live exchange.
extension HookOperations {
    private enum Item: Int32 {
        case method, url, reason, requestID, address, port, tlsVersion, cipher, serverName, httpVersion, sender
        case fingerprint, subject, issuer, serial, certificate, verified
    }

    // MARK: Reading

    /// `header(slot, epoch, side | number << 1)` or `header(slot, epoch, side, name)`: the values of one name, combined as the Fetch
    /// standard does; null when absent. The number is the name's in the function's table.
    func header(_ native: borrowing NativeCall) throws(NativeFailure) {
        let (slot, epoch, code) = try native.triple()
        guard let call = function.call(slot, epoch), let exchange = call.values.exchange else { throw HookOperations.ended }
        let cameBefore = code & 1 == HookSide.request.rawValue
            ? try named(code >> 1, in: exchange.request, native) : try named(code >> 1, in: exchange.response, native)
        if cameBefore { function.learn(code, call.values.phase) }
    }

    /// - Returns: whether the text came before and the name has a number.
    private func named(_ number: Int32, in head: borrowing Head, _ native: borrowing NativeCall) throws(NativeFailure) -> Bool {
        if native.argumentCount == 3 {
            let found = try function.names.withName(number) { (id, name) throws(NativeFailure) in
                try value(of: id, name, in: head, native)
            }
            if let found { return found }
        }
        let name = try native.latin1(3)
        _ = try value(of: FieldName(matching: name), name, in: head, native)
        return false
    }

    /// - Returns: whether the text came before.
    private func value(
        of id: FieldName, _ name: borrowing Span<UInt8>, in head: borrowing Head, _ native: borrowing NativeCall
    ) throws(NativeFailure) -> Bool {
        guard let first = head.firstIndex(of: id, named: name) else {
            // HTTP/2 names the host outside the fields.
            guard id == .host, !head.authority.isEmpty else {
                native.returnNull()
                return false
            }
            try native.returnLatin1(head.bytes(head.authority))
            return false
        }
        guard head.firstIndex(of: id, named: name, from: first + 1) != nil else {
            guard function.keepsTexts, !id.isSecret else {
                try native.returnLatin1(head.bytes(head.fields[first].value))
                return false
            }
            return try native.returnRepeated(head.bytes(head.fields[first].value))
        }
        var joined = ByteArena(capacity: 512)
        let separator: StaticString = id == .cookie ? "; " : ", "
        var index: Int? = first
        while let at = index {
            if joined.count > 0 { _ = joined.append(separator) }
            _ = joined.append(head.bytes(head.fields[at].value))
            index = head.firstIndex(of: id, named: name, from: at + 1)
        }
        try native.returnLatin1(joined[joined.range(since: 0)])
        return false
    }

    /// `headers(slot, epoch, side)`: all fields as "name\nvalue\n..."; neither can hold a line break.
    func headers(_ native: borrowing NativeCall) throws(NativeFailure) {
        let exchange = try exchange(native)
        let flat = try native.int32(2) == HookSide.request.rawValue ? flatFields(exchange.request) : flatFields(exchange.response)
        try native.returnLatin1(flat.span)
    }

    /// `text(slot, epoch, item)`
    func text(_ native: borrowing NativeCall) throws(NativeFailure) {
        let exchange = try exchange(native)
        guard let item = Item(rawValue: try native.int32(2)) else { throw .typeError("no such item") }
        switch item {
        case .method: try method(of: exchange.request, native)
        case .url: try url(of: exchange.request, native)
        case .reason: try reason(of: exchange.response, native)
        case .requestID: try native.returnString(exchange.requestID.text)
        case .address: try native.returnString(exchange.client.address.text)
        case .port: try native.returnString("\(exchange.client.port)")
        case .tlsVersion: try optional(exchange.client.tls?.version, native)
        case .cipher: try optional(exchange.client.tls?.cipher, native)
        case .httpVersion:
            let name = switch exchange.request.version {
            case .http10: "HTTP/1.0"
            case .http11: "HTTP/1.1"
            case .http2: "HTTP/2"
            }
            try native.returnString(name)
        case .sender:
            guard let message = try call(native).message else { return native.returnNull() }
            try native.returnString(message.fromClient ? "client" : "origin")
        case .serverName: try optional(exchange.client.tls?.serverName, native)
        default: try certificate(item, exchange.client.tls, native)
        }
    }

    /// What a client showed of itself in the handshake; null where it showed nothing.
    private func certificate(_ item: Item, _ tls: TLSInfo?, _ native: borrowing NativeCall) throws(NativeFailure) {
        guard let tls else { return native.returnNull() }
        if item == .fingerprint { return try optional(tls.fingerprint.isEmpty ? nil : tls.fingerprint, native) }
        guard !tls.clientSubject.isEmpty || !tls.clientFingerprint.isEmpty else { return native.returnNull() }
        switch item {
        case .subject: try native.returnString(tls.clientSubject)
        case .issuer: try native.returnString(tls.clientIssuer)
        case .serial: try native.returnString(tls.clientSerial)
        case .certificate: try native.returnString(tls.clientFingerprint)
        default: try native.returnString(tls.clientVerified ? "1" : "0")
        }
    }

    // A head is lent to a function so that spans of it end with the loan.
    private func method(of head: borrowing Head, _ native: borrowing NativeCall) throws(NativeFailure) {
        try native.returnLatin1(head.bytes(head.methodName))
    }

    private func reason(of head: borrowing Head, _ native: borrowing NativeCall) throws(NativeFailure) {
        try native.returnLatin1(head.bytes(head.reason))
    }

    private func optional(_ text: String?, _ native: borrowing NativeCall) throws(NativeFailure) {
        if let text { try native.returnString(text) } else { native.returnNull() }
    }

    private func url(of head: borrowing Head, _ native: borrowing NativeCall) throws(NativeFailure) {
        var url = ByteArena(capacity: 512)
        _ = url.append(head.scheme.text)
        _ = url.append("://")
        _ = url.append(head.bytes(head.authority))
        let path = head.bytes(head.path)
        if path.count == 0 || path[0] != UInt8(ascii: "/") { _ = url.append("/") }
        if path.count > 0 { _ = url.append(path) }
        if head.hasQuery {
            _ = url.append("?")
            _ = url.append(head.bytes(head.query))
        }
        try native.returnLatin1(url[url.range(since: 0)])
    }

    // MARK: Writing: recorded, and applied when the hook is done

    /// `edit(slot, epoch, side | action << 1 | (number + 1) << 3, value)`, or with the name behind the value and 0 in the number's
    /// place. The number is the name's in the function's table.
    func edit(_ native: borrowing NativeCall) throws(NativeFailure) {
        let (slot, epoch, code) = try native.triple()
        guard let call = function.call(slot, epoch) else { throw HookOperations.ended }
        guard call.exchange != nil, let side = HookSide(rawValue: code & 1), let action = StagedEdits.Action(rawValue: code >> 1 & 3)
        else { throw .typeError("not an edit") }
        let value = try native.latin1(3)
        try stage(value.count, call)
        var verdict = function.stage(code, value, call)
        if verdict == nil { verdict = call.edits.add(action, side, try native.latin1(4), value) }
        switch verdict {
        case .taken?, nil: return
        case .refused?: function.tally.fieldsRefused += 1
        case .malformed?: throw .typeError(HookOperations.malformed(value))
        }
    }

    /// `setText(slot, epoch, item, text)`
    func setText(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native)
        guard call.exchange != nil else { throw .typeError("this object was used after its request ended") }
        switch Item(rawValue: try native.int32(2)) {
        case .method?:
            if !call.edits.setMethod(try native.latin1(3)) { throw .typeError("the method cannot be sent to an origin") }
        case .url?:
            let url = try native.latin1(3)
            try stage(url.count, call)
            if !call.edits.setURL(url) { throw .typeError("the URL is not an http or https URL") }
        default: throw .typeError("not a text that can be set")
        }
    }

    /// `setStatus(slot, epoch, status, reason)`
    func setStatus(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native)
        let reason = try native.latin1(3)
        try stage(reason.count, call)
        guard call.exchange != nil, call.edits.setStatus(try native.int(2), reason) else {
            throw .rangeError("a status is 200 to 599")
        }
    }

    /// `subrequest(slot, epoch, upstream, method, url, fields, body)`
    func fill(_ request: HookSubrequest, _ native: borrowing NativeCall) throws(NativeFailure) {
        let method = try native.latin1(3)
        guard isToken(method) else { throw .typeError("not a request method") }
        request.head.setMethod(method)
        let url = try native.latin1(4)
        guard let parts = URLParts(url) else { throw .typeError("the URL is not an http or https URL") }
        request.head.authority = request.head.arena.append(url.extracting(parts.authority))
        if request.upstream == HookSubrequest.outside { request.head.scheme = url.starts(with: Span("https://")) ? .https : .http }
        if parts.path.isEmpty { request.head.setPath(Span("/")) } else { request.head.setPath(url.extracting(parts.path)) }
        if let query = parts.query { request.head.setQuery(url.extracting(query)) }
        try addFields(try native.latin1(5), to: &request.head)
        switch native.kind(6) {
        case .null, .number: return
        case .string: request.body = try native.utf8(6).array()
        default: request.body = try native.bytes(6).array()
        }
        request.head.body = .known(request.body.count)
    }

    private func addFields(_ flat: borrowing Span<UInt8>, to head: inout Head) throws(NativeFailure) {
        var start = 0
        while let nameEnd = flat.firstIndex(of: 10, from: start), let valueEnd = flat.firstIndex(of: 10, from: nameEnd + 1) {
            let name = flat.extracting(start..<nameEnd), value = flat.extracting(nameEnd + 1..<valueEnd)
            guard isToken(name), isFieldValue(value) else { throw .typeError("a header that HTTP does not allow") }
            let id = FieldName(matching: name)
            if id.isFraming || id == .host { function.tally.fieldsRefused += 1 } else { head.add(name: name, value: value) }
            start = valueEnd + 1
        }
    }

    // MARK: Errors

    /// `failure(slot, epoch)`: what `onError` is given.
    func failure(_ native: borrowing NativeCall) throws(NativeFailure) {
        let exchange = try exchange(native)
        guard let error = exchange.error else { return try native.returnJSON(Span("{\"kind\":\"unknown\"}")) }
        let json = """
            {"kind":"\(error.kind.token)","side":"\(error.kind.side)","phase":"\(error.phase)","status":\(error.kind.status),\
            "retrySafe":\(error.retrySafe),"message":\(jsonText(error.note)),"hook":\(jsonText(exchange.failedHook))}
            """
        let bytes = Array(json.utf8)
        try native.returnJSON(bytes.span)
    }
}

extension FieldName {
    /// What it holds is a caller's own and secret: no copy of it stays in an isolate for later.
    fileprivate var isSecret: Bool { self == .authorization || self == .cookie || self == .proxyAuthorization }
}

/// All fields as "name\nvalue\n...".
func flatFields(_ head: borrowing Head) -> [UInt8] {
    var flat: [UInt8] = []
    if !head.authority.isEmpty, !head.contains(.host) {
        flat.append(contentsOf: Array("host\n".utf8))
        flat.append(contentsOf: head.bytes(head.authority).array())
        flat.append(10)
    }
    for index in head.fields.indices {
        flat.append(contentsOf: head.bytes(head.fields[index].name).array())
        flat.append(10)
        flat.append(contentsOf: head.bytes(head.fields[index].value).array())
        flat.append(10)
    }
    return flat
}
