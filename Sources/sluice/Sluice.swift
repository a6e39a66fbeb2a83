import ArgumentParser

@main
enum Program {
    static func main() { Sluice.main(InspectOption.spelledOut(Array(CommandLine.arguments.dropFirst()))) }
}

struct Sluice: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice",
        abstract: "A reverse-proxy gateway with JavaScript hooks at the edge.",
        version: Version.text,
        subcommands: [
            RunCommand.self,
            CheckCommand.self,
            TestCommand.self,
            ExplainCommand.self,
            FormatCommand.self,
            SchemaCommand.self,
            ImportCommand.self,
            OriginCommand.self,
            ReloadCommand.self,
            UpgradeCommand.self,
            StatusCommand.self,
            TokenCommand.self,
            TailCommand.self,
            TopCommand.self,
            DashboardCommand.self,
            DevCommand.self,
            TypesCommand.self,
            ProfileCommand.self,
            HeapCommand.self,
            VersionCommand.self,
            HelpCommand.self,
            WorkerCommand.self,
            ScratchCommand.self,
            CordonCommand.self,
            ScriptCommand.self,
        ])
}
