import Foundation
import PackagePlugin

/// Makes every file in a target's `Prelude` folder a string constant of `EmbeddedText`, at build time.
///
/// SwiftPM's own `.embedInCode` makes array literals, which take the compiler half a minute for this much text.
@main
struct EmbedText: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        guard let folder = (target as? any SourceModuleTarget)?.directoryURL.appending(path: "Prelude") else { return [] }
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "js" }.sorted { $0.path < $1.path }
        let output = context.pluginWorkDirectoryURL.appending(path: "EmbeddedText.swift")
        let script = """
            out=$1; shift; { echo 'enum EmbeddedText { static let files: [(name: StaticString, text: String)] = ['; \
            for file; do printf '("%s", ####\"\"\"\\n' "$(basename "$file" .js)"; cat "$file"; printf '\\n\"\"\"####),\\n'; done; \
            echo ']}'; } > "$out"
            """
        return [.buildCommand(
            displayName: "Embedding \(files.count) prelude files",
            executable: URL(filePath: "/bin/sh"),
            arguments: ["-c", script, "embed", output.path] + files.map(\.path),
            inputFiles: files, outputFiles: [output])]
    }
}
