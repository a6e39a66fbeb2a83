import Foundation
import PackagePlugin

/// Makes every file in a target's `Prelude` or `Dashboard` folder a string constant of `EmbeddedText`, at build time.
///
/// SwiftPM's own `.embedInCode` makes array literals, which take the compiler half a minute for this much text.
@main
struct EmbedText: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        guard let room = (target as? any SourceModuleTarget)?.directoryURL else { return [] }
        let folders = ["Prelude", "Dashboard"].map { room.appending(path: $0) }
        let files = folders.flatMap { (try? FileManager.default.contentsOfDirectory(at: $0, includingPropertiesForKeys: nil)) ?? [] }
            .filter { ["js", "css", "html", "ts"].contains($0.pathExtension) }.sorted { $0.path < $1.path }
        let output = context.pluginWorkDirectoryURL.appending(path: "EmbeddedText.swift")
        let script = """
            out=$1; shift; { echo 'enum EmbeddedText { static let files: [(name: StaticString, text: String)] = ['; \
            for file; do printf '("%s", ####\"\"\"\\n' "$(basename "${file%.*}")"; cat "$file"; printf '\\n\"\"\"####),\\n'; done; \
            echo ']}'; } > "$out"
            """
        return [.buildCommand(
            displayName: "Embedding \(files.count) files",
            executable: URL(filePath: "/bin/sh"),
            arguments: ["-c", script, "embed", output.path] + files.map(\.path),
            inputFiles: files, outputFiles: [output])]
    }
}
