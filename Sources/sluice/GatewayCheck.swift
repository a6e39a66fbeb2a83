import Gateway
import Reactor

/// Asks the gateway whether it could serve a configuration: certificates, keys, hooks.
enum GatewayCheck {
    /// All that is wrong, nil when nothing is.
    static func complaint(_ bundle: ConfigurationBundle) -> String? {
        let complaints = ConfigurationTrial.complaints(bundle)
        return complaints.isEmpty ? nil : complaints.map { "error: \($0)" }.joined(separator: "\n")
    }
}
