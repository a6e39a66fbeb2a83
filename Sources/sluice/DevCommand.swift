import ArgumentParser
import Hooks
import Reactor
import Supervisor

struct DevCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dev",
        abstract: "Serve a configuration while you write it.",
        discussion: """
            The gateway itself, with one worker: a saved file is served at once, and one with a mistake changes nothing and says \
            why. A line per request, the console of the hooks, and failures with the lines of source they happened in appear in the \
            terminal; the answer to a request that failed says why as well. Never for strangers: it tells them what is inside.
            """)

    @Argument(help: "The rule file.")
    var file: String

    @OptionGroup var inspecting: InspectOption

    func run() throws {
        var options = SupervisorOptions(configurationPath: file, workers: 1)
        options.drainMilliseconds = 1_000
        options.admin = "off"
        options.watches = true
        options.version = Version.text
        options.snapshotKey = HookSnapshot.key()
        options.snapshotIsSound = { HookSnapshot.isSound($0) }
        options.cacheFolder = CacheFolder.path
        options.workerSettings = [
            "develop": "1", "log-format": "text", "ticket-key": TicketSecret.make(), "workers": "1", "ticket-rotation": "43200",
        ]
        options.workerSettings.merge(inspecting.settings(ownKey: true)) { $1 }
        let status = Supervisor.run(options, load: ConfigurationFile.load)
        if status != 0 { throw ExitCode(status) }
    }
}
