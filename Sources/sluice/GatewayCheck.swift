import Gateway
import Reactor
import Rules

/// Asks the gateway whether it could serve a configuration: certificates, keys, hooks.
enum GatewayCheck {
    /// All that is wrong.
    static func complaints(_ bundle: ConfigurationBundle) -> [Diagnostic] { ConfigurationTrial.complaints(bundle) }
}
