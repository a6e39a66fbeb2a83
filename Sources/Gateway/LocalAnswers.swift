import Buffers
import HTTP
import Rules
import Upstream

/// Answers that the gateway makes itself: by rule, by hook, or because something failed.
extension ExchangeRunner {
    /// Sends what a rule decided. Status and fields are in `response` already.
    func answer(_ reply: Reply) {
        cancelOrigin()
        responseBody.removeAll()
        responseBodyEnded = true
        response.remove(.contentLength)
        if isForeignToGRPC { return deliverGRPC(response.status) }
        switch reply.body {
        case .none:
            response.body = response.status == 204 || response.status == 304 ? .none : .known(0)
        case .constant(let range):
            guard let generation else { return }
            generation.rules.withBytes(range) { setBody($0) }
        case .rendered(let range):
            response.body = .known(Int(range.count))
            ExchangeRunner.copy(response, range, to: &responseBody, worker.pool)
            worker.pool.copied.body += Int(range.count)
        }
        deliver()
    }

    /// Makes `bytes` the whole body of the response.
    func setBody(_ bytes: borrowing Span<UInt8>) {
        responseBody.removeAll()
        responseBody.append(copying: bytes, from: worker.pool)
        worker.pool.copied.body += bytes.count
        responseBodyEnded = true
        response.remove(.contentLength)
        response.body = .known(bytes.count)
    }

    /// The stock answer to a failure: status, `Proxy-Status` (RFC 9209), the request id, one line of text.
    func deliverError() {
        let kind = error?.kind ?? .bug
        let status = hooks.policyStatus != 0 ? hooks.policyStatus : kind.status == 0 ? 500 : kind.status
        deliverStock(status: status, proxyStatus: kind.proxyStatus, side: kind.side)
    }

    func deliverStock(status: Int, proxyStatus: StaticString, side: FaultSide) {
        response.reset()
        response.status = status
        response.add(.contentType, "text/plain; charset=utf-8")
        if side != .client {
            let mark = response.arena.count
            _ = response.arena.append("sluice; error=")
            _ = response.arena.append(proxyStatus)
            response.add(.proxyStatus, range: response.arena.range(since: mark))
        }
        let id = requestID.digits
        response.add(.xRequestID, id.span)
        if status == 503 { response.add(.retryAfter, "1") }
        if answersGRPC { return deliverGRPC(status) }
        let text = worker.developer?.body(status, self) ?? worker.stockText(status)
        setBody(text.span)
        deliver()
    }

    private static func copy(_ head: borrowing Head, _ range: ByteRange, to chain: inout Chain, _ pool: SlabPool) {
        chain.append(copying: head.bytes(range), from: pool)
    }
}
