/// `compat:` of a function.
extension Schema {
    static let compat = [
        SchemaKey("compat", .text(maximum: 10), "Day whose behaviour the function keeps, `YYYY-MM-DD`, from \(Compatibility.first) to \(Compatibility.newest): what changed later (docs/HOOK-API.md) stays as it was for it. Default: the newest behaviour.")
    ]
}

extension ConfigurationBuilder {
    func compat(_ function: inout Function, _ object: ParsedObject) {
        guard let value = object["compat"], let text = value.text else { return }
        let label = "write a day from \(Compatibility.first) to \(Compatibility.newest)"
        guard let date = CompatDate(text) else {
            return reporter.report(.date, "`\(text)` is no day: `compat` is written `YYYY-MM-DD`", at: value.position, label: label)
        }
        guard date >= Compatibility.first else {
            return reporter.report(.date, "`compat: \(text)` is before the first behaviour that was released", at: value.position, label: label)
        }
        guard date <= Compatibility.newest else {
            return reporter.report(.date, "`compat: \(text)` is in the future: this version of Sluice knows behaviour up to \(Compatibility.newest)", at: value.position, label: label)
        }
        function.compat = date
    }
}

extension Lint {
    /// What could be better in a file that is good. Said by `sluice check` alone.
    public static func hints(_ configuration: Configuration, _ files: FileBundle) -> [Diagnostic] {
        configuration.functions.filter { $0.compat == nil }.map { function in
            Diagnostic(
                .unpinned, "the function `\(function.name)` has no `compat` day: a newer version of Sluice may change what it sees",
                at: function.position, in: configuration, files, label: "add `compat: \(Compatibility.newest)`")
        }
    }
}
