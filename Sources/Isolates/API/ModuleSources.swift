/// A closed world of module sources: nothing outside it can be imported.
public struct ModuleSources: Sendable {
    /// Text by path. Paths are as they shall appear in error messages; `./` and `../` in an import are resolved
    /// against the importer's path, anything else is taken as a key as it stands. A path that ends in `.json` is
    /// imported with `assert { type: "json" }`.
    public var files: [String: String]

    public init(files: [String: String]) { self.files = files }
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
}
