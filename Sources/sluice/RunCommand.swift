import ArgumentParser
import Hooks
import Reactor
import Rules
import Supervisor

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Serve a configuration.",
        discussion: """
            Starts one worker process per CPU and watches them. SIGHUP takes a changed configuration over (a bad one \
            changes nothing and says why), SIGTERM and SIGINT finish open requests and stop, a second one stops at \
            once, SIGUSR1 opens log files anew.
            """)

    @Option(name: [.short, .long], help: ArgumentHelp("The rule file to serve.", valueName: "file"))
    var config: String

    @Option(name: [.short, .long], help: "Worker processes, 1 to \(SharedRegion.workerCapacity). (default: one per CPU)")
    var workers: Int?

    @Option(help: ArgumentHelp(
        "How long open requests may go on after SIGTERM, in place of the configuration's \"drain: {stop:}\". (default: 30s)", valueName: "time"))
    var drainTimeout: TimeText?

    @Option(help: ArgumentHelp(
        "Where metrics and status are, in place of the configuration's \"admin\"; \"off\" for nowhere.", valueName: "address:port"))
    var admin: String?

    @Option(help: ArgumentHelp(
        "Where commands such as \"sluice reload\" reach it, in place of a socket in the runtime folder; \"off\" for nowhere.", valueName: "path"))
    var control: String?

    @Option(help: ArgumentHelp(
        "Folder for what makes the next start quicker, in place of the user's cache folder; \"off\" for none.", valueName: "path"))
    var cache: String?

    @Option(help: ArgumentHelp(
        "Where a file tells what a process died of, in place of \"crashes\" in the state or runtime folder; \"off\" for nowhere.", valueName: "folder"))
    var crashReports: String?

    @Flag(help: "Stay after an upgrade: pass signals on to the process that serves, and end with it. Process 1 of a container always does.")
    var stay = false

    @Flag(help: "Reload when a file of the configuration changes, as SIGHUP does.")
    var watch = false

    @Option(help: ArgumentHelp("How long a key seals TLS session tickets; it opens them three times as long.", valueName: "time"))
    var ticketRotation = TimeText("720m")

    @Option(help: ArgumentHelp(
        "A file with the secret from which keys of TLS session tickets are made, the same on every machine that serves the same names. (default: a random one)",
        valueName: "file"))
    var ticketSecret: String?

    @OptionGroup var inspecting: InspectOption

    @Option(help: ArgumentHelp("How the gateway's own log lines look.", valueName: "text|json"))
    var logFormat = LogFormat.text

    func validate() throws {
        if let workers, !(1...SharedRegion.workerCapacity).contains(workers) {
            throw ValidationError("--workers must be from 1 to \(SharedRegion.workerCapacity), not \(workers).")
        }
    }

    func run() throws {
        var options = SupervisorOptions(configurationPath: config, workers: workers ?? ProcessSetup.cpuCount)
        options.certificateMarks = ["[\(DiagnosticCode.certificate.rawValue)]"]
        options.drainMilliseconds = drainTimeout?.milliseconds
        options.admin = admin
        options.control = control
        options.watches = watch
        options.crashReports = crashReports
        if stay { options.staysAsParent = true }
        options.logFormat = logFormat == .json ? .json : .text
        options.version = Version.text
        options.snapshotKey = HookSnapshot.key()
        options.snapshotIsSound = { HookSnapshot.isSound($0) }
        options.cacheFolder = cache == "off" ? nil : cache ?? CacheFolder.path
        options.workerSettings = [
            "log-format": logFormat.rawValue, "ticket-key": try ticketSecret.map { try TicketSecret.read($0) } ?? TicketSecret.make(),
            "workers": String(workers ?? ProcessSetup.cpuCount),
            "ticket-rotation": String(max(1, ticketRotation.milliseconds / 1000)),
        ]
        options.workerSettings.merge(inspecting.settings(ownKey: false)) { $1 }
        // Sessions that clients remember stay good through an upgrade.
        options.keptSettings = ticketSecret == nil ? ["ticket-key"] : []
        let status = Supervisor.run(options, load: ConfigurationFile.load)
        if status != 0 { throw ExitCode(status) }
    }
}

enum LogFormat: String, CaseIterable, ExpressibleByArgument { case text, json }

/// A time on the command line: "500ms", "30s", "2m", or plain seconds.
struct TimeText: ExpressibleByArgument, CustomStringConvertible {
    let description: String
    let milliseconds: UInt64

    /// For defaults that are known to be right.
    init(_ text: String) {
        description = text
        milliseconds = TimeText.parse(text) ?? 0
    }

    init?(argument: String) {
        guard let milliseconds = TimeText.parse(argument) else { return nil }
        description = argument
        self.milliseconds = milliseconds
    }

    private static func parse(_ text: String) -> UInt64? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let number = UInt64(digits), number <= 86_400_000 else { return nil }
        switch text.dropFirst(digits.count) {
        case "ms": return number
        case "s", "": return number * 1000
        case "m": return number * 60_000
        default: return nil
        }
    }
}

/// A secret that all workers share, so that a TLS ticket of one is good for the others and for those
/// that replace them. It lives in memory only, unless an operator shares one between machines by a file.
enum TicketSecret {
    /// Shorter ones can be guessed; longer ones are a mistake. Bytes.
    private static let sizes = 32...4096

    /// In hexadecimal, as `make` gives it.
    static func read(_ path: String) throws -> String {
        do throws(FileFailure) {
            let bytes = try DiskFiles().read(path, limit: sizes.upperBound)
            if sizes.contains(bytes.count) { return bytes.map { hex($0) }.joined() }
        } catch {
            StandardError.print("sluice: error: \(path) cannot be read; make it with: head -c 80 /dev/urandom > \(path)")
            throw ExitCode(1)
        }
        StandardError.print("sluice: error: \(path) has fewer than \(sizes.lowerBound) bytes; make it with: head -c 80 /dev/urandom > \(path)")
        throw ExitCode(1)
    }

    /// 80 random bytes in hexadecimal: key name, and keys for integrity and secrecy.
    static func make() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<80).map { _ in hex(UInt8.random(in: 0...255, using: &generator)) }.joined()
    }

    private static func hex(_ byte: UInt8) -> String { String(byte >> 4, radix: 16) + String(byte & 15, radix: 16) }
}
