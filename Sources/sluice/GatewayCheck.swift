import Reactor

/// Asks the gateway whether it could serve a configuration: certificates, keys, hooks.
enum GatewayCheck {
    /// All that is wrong, nil when nothing is.
    static func complaint(_ bundle: ConfigurationBundle) -> String? { nil }
}
