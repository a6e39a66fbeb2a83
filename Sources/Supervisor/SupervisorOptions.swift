public import Reactor

/// What `Supervisor.run` needs to know.
public struct SupervisorOptions: Sendable {
    /// The rule file given by the operator.
    public var configurationPath: String
    /// Worker processes, 1 to `SharedRegion.workerCapacity`.
    public var workers: Int
    /// How long requests may go on after SIGTERM, in milliseconds; takes the place of the configuration's `drain: {stop:}`.
    public var drainMilliseconds: UInt64?
    /// A worker whose loop has not turned for this long, outside of a hook, is replaced.
    public var stallMilliseconds: UInt64 = 30_000
    /// "ADDRESS:PORT" or "off"; takes the place of the configuration's `admin:`.
    public var admin: String?
    /// Path of the control socket, or "off"; nil for the usual place.
    public var control: String?
    /// Folder for crash reports, or "off"; nil for the usual place.
    public var crashReports: String?
    /// Stay after an upgrade, as the parent of the process that serves; process 1 of a container has to.
    public var staysAsParent = ProcessSetup.pid == 1
    /// Reload when a file of the configuration changes.
    public var watches = false
    public var logFormat = OperationLog.Format.text
    /// What stands in the diagnostics of a configuration whose certificates cannot be used.
    public var certificateMarks: [String] = []
    /// Shown by /status and /metrics.
    public var version = "0"
    /// What a startup snapshot of this build begins with; empty: every worker makes its own.
    public var snapshotKey: [UInt8] = []
    /// Whether bytes are a whole snapshot of this build.
    public var snapshotIsSound: @Sendable ([UInt8]) -> Bool = { _ in false }
    /// Where the snapshot is kept between starts; nil: nowhere.
    public var cacheFolder: String?
    /// Handed to every worker as they are.
    public var workerSettings: [String: String] = [:]
    /// Settings of workers that go on with the process that takes this one's place.
    public var keptSettings: [String] = []
    /// How this process was started: its successor is started the same way.
    public var ownArguments = CommandLine.arguments
    /// Arguments that make this program a worker.
    public var workerArguments = ["sluice", "worker"]
    /// Arguments that make this program run hooks in a process of their own.
    public var cordonArguments = ["sluice", "cordon"]
    /// Arguments that make this program examine a configuration.
    public var scratchArguments = ["sluice", "scratch"]

    /// Where metrics are when nobody says.
    public static let defaultAdmin = "127.0.0.1:9901"

    public init(configurationPath: String, workers: Int) {
        self.configurationPath = configurationPath
        self.workers = min(max(workers, 1), SharedRegion.workerCapacity)
    }
}

/// A configuration that is complete and correct.
public struct LoadedConfiguration: Sendable {
    public var bundle: ConfigurationBundle
    /// Warnings, a line each; may be empty.
    public var notes: String

    public init(bundle: ConfigurationBundle, notes: String = "") {
        self.bundle = bundle
        self.notes = notes
    }
}

/// All that is wrong with a configuration, ready to be shown.
public struct ConfigurationRejected: Error, Sendable, CustomStringConvertible {
    public let diagnostics: String
    public init(diagnostics: String) { self.diagnostics = diagnostics }
    public var description: String { diagnostics }
}

/// Reads a configuration with all its files, checks it, and says what it needs.
public typealias ConfigurationLoader = (String) throws(ConfigurationRejected) -> LoadedConfiguration

/// Checks what only running can show: that hooks load and certificates fit. Returns warnings.
public typealias ConfigurationValidator = (ConfigurationBundle) throws(ConfigurationRejected) -> String

extension ScratchContext {
    /// The whole life of a scratch process: load, validate, answer.
    public func run(load: ConfigurationLoader, validate: ConfigurationValidator) throws(SystemError) {
        let loaded: LoadedConfiguration
        let notes: String
        do throws(ConfigurationRejected) {
            loaded = try load(path)
            notes = try validate(loaded.bundle)
        } catch {
            return try answer(rejected: error.diagnostics)
        }
        let all = [loaded.notes, notes].filter { !$0.isEmpty }.joined(separator: "\n")
        try answer(loaded.bundle, notes: all)
    }
}

/// "127.0.0.1:9901" or "[::1]:9901" taken apart.
struct EndpointText {
    let address: String
    let port: UInt16

    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty else { return nil }
        address = String(host)
        self.port = port
    }
}
