import ArgumentParser
import Glibc
import Reactor
import Supervisor

/// Started by the supervisor only; everything comes through the inherited control channel.
struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Serve as a worker of a supervisor.", shouldDisplay: false)

    func run() throws {
        guard case .worker(let context) = try ChildProcessRole.begin() else { return ChildProcessRole.wrongRole() }
        // Not `exit`: V8's threads and C++ destructors have no business in a worker's last moment.
        _exit(WorkerMain.run(context))
    }
}

/// Loads and checks a configuration for the supervisor, so that no file can hurt it.
struct ScratchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scratch", abstract: "Check a configuration for a supervisor.", shouldDisplay: false)

    @Option(help: "How the findings are told.")
    var format = FindingsFormat.text

    func run() throws {
        guard case .scratch(let context) = try ChildProcessRole.begin() else { return ChildProcessRole.wrongRole() }
        let format = format
        try context.run(
            load: { (path: String) throws(ConfigurationRejected) in
                var loaded = try ConfigurationFile.load(path, format)
                // Whoever wants to read the findings has those of the loader.
                if format != .text { loaded.notes = "" }
                return loaded
            },
            validate: { (bundle: ConfigurationBundle) throws(ConfigurationRejected) in try ConfigurationFile.validate(bundle, format) })
        _exit(0)
    }
}

private enum ChildProcessRole {
    static func begin() throws -> WorkerBootstrap.Role {
        do {
            return try WorkerBootstrap.start()
        } catch {
            StandardError.print("sluice: \(error)")
            throw ExitCode(1)
        }
    }

    static func wrongRole() {
        StandardError.print("sluice: the supervisor asked for something else than the command line says; they must be the same program")
    }
}
