import Reactor

/// Reloads when a file of the configuration changes (`sluice run --watch`).
///
/// The folders of all files are watched: editors write a new file and rename it, Kubernetes swaps a link. A moment after the
/// last change the configuration is examined as on SIGHUP; one that says the same as before is not handed out.
final class ConfigurationWatch: FolderWatch {
    /// Milliseconds of silence after which a change is acted upon: tools write several files in a row.
    static let patience: UInt64 = 200

    private unowned let supervisor: Supervisor
    private var files: Set<String> = []
    private var timer: QuietTimer?
    /// The last reload was asked for by a change of a file.
    private(set) var hasAsked = false

    init(supervisor: Supervisor) throws(SystemError) {
        self.supervisor = supervisor
        try super.init()
    }

    /// Watches what this configuration consists of.
    func adopt(_ bundle: ConfigurationBundle) {
        files = Set(bundle.paths)
        for failure in watch(Set(files.map { Self.split($0).folder })) {
            supervisor.log.warning("watch", "\(failure.folder) cannot be watched: \(failure.error); use SIGHUP or \"sluice reload\"")
        }
    }

    override func changed(folder: String, name: String) {
        guard matters(folder, name) else { return }
        let timer = self.timer ?? QuietTimer(self)
        self.timer = timer
        supervisor.reactor.cancel(timer)
        supervisor.reactor.schedule(timer, after: ConfigurationWatch.patience)
    }

    /// A file of the configuration, one that an `include` may find now, or the link that Kubernetes swaps.
    private func matters(_ folder: String, _ name: String) -> Bool {
        name.isEmpty || name == "..data" || name.hasSuffix(".yaml") || name.hasSuffix(".yml")
            || files.contains(folder == "." ? name : folder == "/" ? "/" + name : "\(folder)/\(name)")
    }

    fileprivate func reload() {
        guard supervisor.phase == .serving else { return }
        supervisor.log.info("watch", "files of the configuration changed")
        hasAsked = true
        supervisor.requestReload()
    }

    /// Takes the mark of a reload that this watch asked for.
    func takeAsked() -> Bool {
        defer { hasAsked = false }
        return hasAsked
    }

    static func split(_ path: String) -> (folder: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path) }
        let folder = path[..<slash]
        return (folder.isEmpty ? "/" : String(folder), String(path[path.index(after: slash)...]))
    }
}

private final class QuietTimer: Timer {
    private unowned let watch: ConfigurationWatch
    init(_ watch: ConfigurationWatch) { self.watch = watch }
    override func fire() { watch.reload() }
}

/// A configuration on disk that was refused, while an older one is served.
struct Staleness {
    /// Milliseconds between two reminders.
    static let reminder: UInt64 = 300_000

    /// Monotonic milliseconds of the first refusal since the last configuration that was good.
    private(set) var since: UInt64?
    private var remindedAt: UInt64 = 0
    /// What was refused last is a certificate, its key or its chain.
    private(set) var isOfCertificate = false

    var isStale: Bool { since != nil }

    mutating func refused(now: UInt64, forCertificate: Bool = false) {
        isOfCertificate = forCertificate
        if since == nil { since = now }
        remindedAt = now
    }

    mutating func applied() {
        since = nil
        isOfCertificate = false
    }

    /// Minutes it has been stale, when it is time to say so again.
    mutating func minutesToRemindOf(now: UInt64) -> UInt64? {
        guard let since, now >= remindedAt + Staleness.reminder else { return nil }
        remindedAt = now
        return (now - since) / 60_000
    }
}

extension Supervisor {
    /// Called every now and then.
    func remindOfStaleness() {
        guard let minutes = reload.staleness.minutesToRemindOf(now: reactor.now) else { return }
        log.error(
            "stale",
            "the configuration on disk was refused \(minutes) minutes ago and generation \(current.number) is still served; \"sluice check \(options.configurationPath)\" says why",
            [("generation", .number(Int(current.number)))])
    }
}
