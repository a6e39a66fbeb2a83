import Buffers
import HTTP
import Upstream

/// gRPC clients look for a status of their own in what a proxy answers.
extension ExchangeRunner {
    /// A "trailers only" answer: 200, the status as a field, no body.
    func deliverGRPC(_ status: Int) {
        response.status = 200
        response.set(.contentType, "application/grpc")
        response.add(name: Span("grpc-status"), value: Span(ExchangeRunner.code(status)))
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

extension Span where Element == UInt8 {
    fileprivate var dropLineEnd: Span<UInt8> {
        @_lifetime(copy self)
        get { extracting(first: Swift.max(0, count - 1)) }
    }
}
