import ArgumentParser
import Hooks
import Rules

struct TypesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "types",
        abstract: "Print TypeScript declarations of what the hooks of a rule file are given.",
        discussion: """
            With the exact `env` and `args` of every function: Sluice.Hook<"NAME"> is the type of the default export of its \
            module. Editors take it from a comment, also in JavaScript:

                /** @type {Sluice.Hook<"authz">} */
                export default { onRequest(request, env, ctx) { ... } };

            Save the output as sluice.d.ts beside the hooks, and compile with --lib es2022,webworker.
            """)

    @Argument(help: "The rule file.")
    var file: String?

    @Flag(help: "Print the reference of the hook API (docs/HOOK-API.md) instead.")
    var reference = false

    func validate() throws {
        guard reference || file != nil else { throw ValidationError("Give a rule file, or --reference.") }
    }

    func run() throws {
        if reference { return print(HookReference.markdown(changes: Compatibility.markdown), terminator: "") }
        guard let file else { return }
        let result = RuleFile.load(file, provider: DiskFiles())
        guard let configuration = result.configuration else {
            StandardError.print(FindingsFormat.text.write(result.diagnostics))
            throw ExitCode(1)
        }
        print(HookDeclarations.text(for: TypesCommand.functions(of: configuration)), terminator: "")
    }

    static func functions(of configuration: Configuration) -> [HookDeclarations.Function] {
        let generation = Generation(configuration)
        var arguments = configuration.functions.map { _ in [String]() }
        for use in generation.hookUses {
            arguments[use.call.function].append(generation.withBytes(use.call.arguments) { String(copying: $0) })
        }
        return configuration.functions.indices.map { index in
            let function = configuration.functions[index]
            return HookDeclarations.Function(
                name: function.name, place: configuration.describe(function.position) + (function.compat.map { ", behaviour of \($0)" } ?? ""), environment: environment(of: function, configuration),
                arguments: arguments[index].map { $0.isEmpty ? "{}" : $0 })
        }
    }

    /// Everything that `env` holds, by name.
    private static func environment(of function: Function, _ configuration: Configuration) -> [(name: String, type: String)] {
        var names = function.upstreams.map { (name: configuration.upstreams[$0].name, type: "Fetcher") }
        names += function.stores.map { (name: $0.name, type: "KVNamespace") }
        names += function.secrets.map { (name: configuration.secrets[$0].name, type: "string") }
        names += function.keys.map { (name: $0.name, type: "CryptoKey") }
        names += function.variables.keys.map { (name: $0, type: "string") }
        return names.sorted { $0.name < $1.name }
    }
}
