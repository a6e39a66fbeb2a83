import Hooks
import Telemetry

extension Metrics {
    /// Long work of hooks ended, here or in a cordon.
    func count(_ end: HookWorkEnd, _ cpuNanoseconds: UInt64) {
        let counter: Counter = switch end {
        case .done: .cryptoDone
        case .failed: .cryptoFailed
        case .stopped: .cryptoStopped
        case .spent: .cryptoSpent
        case .refused: .cryptoRefused
        }
        add(counter)
        add(.cryptoMicroseconds, Int(clamping: cpuNanoseconds / 1_000))
    }
}
