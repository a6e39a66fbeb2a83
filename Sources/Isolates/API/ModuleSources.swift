/// A closed world of module sources: nothing outside it can be imported.
public struct ModuleSources: Sendable {
    /// Text by path. Paths are as they shall appear in error messages; `./` and `../` in an import are resolved
    /// against the importer's path, anything else is taken as a key as it stands. A path that ends in `.json` is
    /// imported with `assert { type: "json" }`.
    public var files: [String: String]

    /// Text by name that `files` may have another text for.
    public var builtIn: [String: String] = [:]

    /// WebAssembly by path: a path that ends in `.wasm` is imported as a compiled module, where the isolate may have any.
    public var binaries: [String: [UInt8]] = [:]

    /// Bytecode by path, of the very texts in `files`: `Isolate.bytecode` made it in this process.
    public var caches: [String: [UInt8]] = [:]

    public init(files: [String: String], builtIn: [String: String] = [:], binaries: [String: [UInt8]] = [:], caches: [String: [UInt8]] = [:]) {
        self.files = files
        self.builtIn = builtIn
        self.binaries = binaries
        self.caches = caches
    }

    func text(at path: String) -> String? { files[path] ?? builtIn[path] }
}

extension Isolate {
    /// Compiles, links and evaluates the module at `path` and what it imports; gives its namespace object.
    ///
    /// Everything is checked before anything runs: syntax, missing files (reported at the importing line), JSON.
    /// A top-level await must settle within the microtasks that run here. Dynamic imports are rejected.
    public func loadModule(_ path: String, from sources: ModuleSources) throws(CallFailure) -> JSValue {
        requireTurn()
        var loader = ModuleLoader(core: core, sources: sources)
        return try loader.load(path)
    }

    /// Bytecode of a module that is compiled for this and not run; empty when it does not compile. It spares later isolates
    /// of this process the parsing. V8 trusts it: it must never come from elsewhere.
    /// Nothing runs, so no turn is needed.
    public func bytecode(of path: String, _ text: String) -> [UInt8] {
        ModuleLoader(core: core, sources: ModuleSources(files: [:])).bytecode(of: path, text)
    }
}
