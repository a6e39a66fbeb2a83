import Buffers
import HTTP
import Reactor
import Rules
import Upstream

/// gRPC clients look for a status of their own in what a proxy answers.
extension ExchangeRunner {
    /// Errors that are ours are told in gRPC's own way: by rules, by hooks, by what failed.
    var answersGRPC: Bool { request.version == .http2 && request.isGRPC }

    /// What a rule or a hook answered is an error, and does not speak gRPC itself.
    var isForeignToGRPC: Bool { answersGRPC && response.status >= 400 && response.firstIndex(named: Span("grpc-status")) == nil }

    /// How a call of gRPC ended; nil: it is none, or was cut before anybody said.
    var grpcStatus: Int? { callsGRPC ? response.grpcStatus ?? responseTrailers?.head.grpcStatus : nil }

    /// Milliseconds after which the client awaits no answer any more (`grpc-timeout`); 0 is never.
    private var callTime: Int { answersGRPC ? request.grpcTimeout : 0 }

    /// No attempt is made, and none goes on, when nobody awaits its answer.
    func obeyDeadline() {
        let time = callTime
        guard time > 0 else { return }
        let left = max(1, time - Int(clamping: (worker.nowNanoseconds &- started) / 1_000_000))
        let upstreams = generation?.configuration.upstreams ?? []
        let configured = attemptTimes.total > 0 || !upstreams.indices.contains(upstream) ? attemptTimes.total : upstreams[upstream].timeouts.total
        attemptTimes.totalIsClients = configured == 0 || left < configured
        attemptTimes.total = configured > 0 ? min(configured, left) : left
    }

    /// The timers of the loop are not as fine as its clock.
    private static let fineness: UInt64 = 20

    private var isBeyondDeadline: Bool {
        let time = callTime
        return time > 0 && (worker.nowNanoseconds &- started) / 1_000_000 + ExchangeRunner.fineness >= UInt64(time)
    }

    /// What ends an answer that is under way when its call's time is up; nil when anything else cut it off. A client whose own clock is a
    /// moment behind would take a reset for a fault of the service.
    var lateTrailers: Trailers? {
        guard statusSent == 200, isBeyondDeadline, response.firstIndex(of: .contentLength) == nil else { return nil }
        var fields = Head()
        fields.add(name: Span("grpc-status"), value: Span("4"))
        fields.add(name: Span("grpc-message"), value: Span("deadline exceeded"))
        return Trailers(fields)
    }

    /// A "trailers only" answer: 200, the status as a field, no body.
    func deliverGRPC(_ status: Int) {
        response.status = 200
        response.remove(.contentLength)
        response.set(.contentType, "application/grpc")
        let isLate = status == 504 && isBeyondDeadline
        response.add(name: Span("grpc-status"), value: Span(isLate ? "4" : ExchangeRunner.code(status)))
        response.add(name: Span("grpc-message"), value: worker.stockText(status).span.dropLineEnd)
        responseBody.removeAll()
        responseBodyEnded = true
        response.body = .none
        deliver()
    }

    /// The mapping of the gRPC specification, "HTTP to gRPC Status Code Mapping".
    private static func code(_ status: Int) -> StaticString {
        switch status {
        case 400: "13"
        case 401: "16"
        case 403: "7"
        case 404: "12"
        case 429, 502, 503, 504: "14"
        default: "2"
        }
    }
}

extension Head {
    /// `grpc-timeout` in milliseconds, rounded up and at most a day; 0 when there is none that can be read. At most eight digits and a unit:
    /// H, M, S, m (ms), u (us) or n (ns).
    var grpcTimeout: Int {
        guard let index = firstIndex(named: Span("grpc-timeout")) else { return 0 }
        let text = bytes(fields[index].value)
        guard (2...9).contains(text.count), let number = text.extracting(first: text.count - 1).decimal() else { return 0 }
        let milliseconds: Int
        switch text[text.count - 1] {
        case UInt8(ascii: "H"): milliseconds = number * 3_600_000
        case UInt8(ascii: "M"): milliseconds = number * 60_000
        case UInt8(ascii: "S"): milliseconds = number * 1_000
        case UInt8(ascii: "m"): milliseconds = number
        case UInt8(ascii: "u"): milliseconds = (number + 999) / 1_000
        case UInt8(ascii: "n"): milliseconds = (number + 999_999) / 1_000_000
        default: return 0
        }
        return min(max(milliseconds, 1), 86_400_000)
    }
}

extension Span where Element == UInt8 {
    fileprivate var dropLineEnd: Span<UInt8> {
        @_lifetime(copy self)
        get { extracting(first: Swift.max(0, count - 1)) }
    }
}
