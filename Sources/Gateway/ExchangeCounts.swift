import HTTP
import Telemetry

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

    func countFailure(_ failure: GatewayError) {
        switch failure.kind.side {
        case .client: worker.metrics.add(.errorsClient)
        case .origin: worker.metrics.add(.errorsOrigin)
        case .gateway: worker.metrics.add(.errorsGateway)
        }
    }
}
