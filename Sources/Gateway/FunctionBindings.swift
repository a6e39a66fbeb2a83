import Hooks
import Rules

/// What `env` of a function has beside upstreams. A function whose bindings change is another function.
struct FunctionBindings: Equatable {
    var stores: [HookStoreGrant] = []
    var secrets: [String: String] = [:]
    var variables: [String: String] = [:]
    var reachesOutside = false

    init() {}

    init(_ function: Function, _ configuration: Configuration, _ files: FileBundle, isPlayed: Bool) throws(GenerationError) {
        variables = function.variables
        reachesOutside = !function.egress.isEmpty
        stores = function.stores.map { HookStoreGrant(name: $0.name, largestValue: configuration.namespaces[$0.namespace].largestValue) }
        for index in function.secrets {
            let secret = configuration.secrets[index]
            if isPlayed {
                secrets[secret.name] = secret.testValue
            } else if let bytes = files.files[secret.bundlePath] {
                secrets[secret.name] = String(decoding: bytes, as: UTF8.self)
            } else {
                throw GenerationError(description: "secret \"\(secret.name)\" is not in the configuration's bundle")
            }
        }
    }
}
