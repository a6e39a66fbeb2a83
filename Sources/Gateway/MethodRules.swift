import Buffers
import HTTP
import Rules
import Upstream

/// Methods and fields that speak to proxies themselves: TRACE, CONNECT, Max-Forwards, Expect.
extension ExchangeRunner {
    /// False when the exchange has been answered.
    func mayBeServed() -> Bool {
        // What TRACE sends back holds cookies and credentials that a script in a browser must not read.
        if original.method == .trace {
            fail(GatewayError(.methodNotAllowed, in: .requestHead, note: "TRACE is not served"))
            return false
        }
        if request.version == .http2, !request.expectsNothingUnknown {
            fail(GatewayError(.expectationFailed, in: .requestHead, note: "an expectation other than 100-continue"))
            return false
        }
        return true
    }

    /// The last step before the origin. False when the exchange has been answered.
    func mayBeForwarded() -> Bool {
        if original.method == .connect { return tunnelIsConfigured() }
        if original.method == .post { obeyDeadline() }
        guard original.method == .options else { return true }
        switch request.countForward() {
        case .goOn: return true
        case .malformed:
            fail(GatewayError(.badRequest, in: .requestHead, note: "Max-Forwards is not a number"))
        case .last: answerOptions()
        }
        return false
    }

    /// OPTIONS that was meant for whoever it reaches now (RFC 9110 section 7.6.2).
    private func answerOptions() {
        response.reset()
        response.status = 200
        response.add(name: Span("Allow"), value: Span("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))
        response.body = .known(0)
        responseBody.removeAll()
        responseBodyEnded = true
        deliver()
    }

    /// CONNECT goes where the site says, whatever host and port the client named beyond the site's.
    private func tunnelIsConfigured() -> Bool {
        guard let generation, site >= 0, let upstream = generation.configuration.sites[site].connect else {
            fail(GatewayError(.methodNotAllowed, in: .requestRules, note: "the site has no `connect`"))
            return false
        }
        self.upstream = upstream
        wantsUpgrade = true
        return true
    }
}

extension Head {
    fileprivate enum Forward { case goOn, last, malformed }

    /// Takes one from Max-Forwards.
    fileprivate mutating func countForward() -> Forward {
        guard let index = firstIndex(named: Span("Max-Forwards")) else { return .goOn }
        // It is one number (RFC 9110 section 7.6.2): of two, the next recipient could read the other.
        guard firstIndex(named: Span("Max-Forwards"), from: index + 1) == nil, let left = bytes(fields[index].value).decimal() else { return .malformed }
        guard left > 0 else { return .last }
        let mark = arena.count
        _ = arena.append(String(left - 1))
        setValue(at: index, range: arena.range(since: mark))
        return .goOn
    }

    /// HTTP/1.1's parser has looked already.
    fileprivate var expectsNothingUnknown: Bool {
        guard let value = value(of: .expect) else { return true }
        return bytes(value).equalsIgnoringCase("100-continue")
    }
}
