import HTTP
import Telemetry
import Upstream

/// What an exchange adds to the worker's counters.
extension ExchangeRunner {
    func countResponse() {
        let counter: Counter =
            switch statusSent {
            case ..<200: .responses1xx
            case ..<300: .responses2xx
            case ..<400: .responses3xx
            case ..<500: .responses4xx
            default: .responses5xx
            }
        worker.metrics.add(counter)
    }

    /// How a call of gRPC ended, which the status of HTTP does not tell.
    func countCall() {
        guard callsGRPC else { return }
        worker.metrics.add(grpcStatus.map { $0 == 0 ? .grpcSucceeded : GRPCStatus.isFault($0) ? .grpcFaultOfServer : .grpcFaultOfClient } ?? .grpcWithoutStatus)
    }

    func countFailure(_ failure: GatewayError) {
        switch failure.kind.side {
        case .client: worker.metrics.add(.errorsClient)
        case .origin: worker.metrics.add(.errorsOrigin)
        case .gateway: worker.metrics.add(.errorsGateway)
        }
    }
}
