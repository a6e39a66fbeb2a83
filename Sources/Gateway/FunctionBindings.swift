import Hooks
import Rules

/// What `env` of a function has beside upstreams. A function whose bindings change is another function.
struct FunctionBindings: Equatable {
    var stores: [HookStoreGrant] = []
    var secrets: [String: String] = [:]
    var variables: [String: String] = [:]
    /// By name, as JSON for the prelude.
    var keys: [String: String] = [:]
    var reachesOutside = false
    var lists: [String: HookList] = [:]

    init() {}

    init(_ function: Function, _ configuration: Configuration, _ files: FileBundle, isPlayed: Bool) throws(GenerationError) {
        variables = function.variables
        reachesOutside = !function.egress.isEmpty
        for list in function.lists.map({ configuration.lists[$0] }) {
            switch list.values {
            case .strings(let texts): lists[list.name] = HookList(texts: texts)
            case .addresses(let ranges): lists[list.name] = HookList(networks: ranges.map { .init(address: $0.network, prefix: $0.prefix) })
            }
        }
        stores = function.stores.map { HookStoreGrant(name: $0.name, largestValue: configuration.namespaces[$0.namespace].largestValue) }
        for index in function.secrets { secrets[configuration.secrets[index].name] = try Self.value(configuration.secrets[index], files, isPlayed) }
        for key in function.keys { keys[key.name] = Self.json(key, try Self.value(configuration.secrets[key.secret], files, isPlayed), isPlayed) }
    }

    private static func value(_ secret: Secret, _ files: FileBundle, _ isPlayed: Bool) throws(GenerationError) -> String {
        if isPlayed { return secret.testValue }
        guard let bytes = files.files[secret.bundlePath] else {
            throw GenerationError(description: "secret \"\(secret.name)\" is not in the configuration's bundle")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// - Parameter isPlayed: the secret's test value need not be a key as long as the function does not use it.
    private static func json(_ key: Function.KeyBinding, _ secret: String, _ isPlayed: Bool) -> String {
        let quoted = HookRule.quoted
        var members = ["\"secret\":\(quoted(secret))", "\"format\":\(quoted(key.format.rawValue))", "\"name\":\(quoted(key.algorithm))"]
        if !key.hash.isEmpty { members.append("\"hash\":\(quoted(key.hash))") }
        if !key.curve.isEmpty { members.append("\"namedCurve\":\(quoted(key.curve))") }
        members.append("\"usages\":[\(key.usages.map(quoted).joined(separator: ","))]")
        return "{\(members.joined(separator: ",")),\"lenient\":\(isPlayed)}"
    }
}
