import Buffers
import HTTP
import Hooks
import Reactor
import TLS

/// `--inspect`: DevTools look into functions. Each function that somebody looks into gets a process of its own with an isolate of
/// its own, which only requests reach that carry a signed header; all others are served as ever.
final class Inspection {
    private static let header = TraceKey.inspectHeader
    /// Requests at once in one inspected function; others are served as without the header, so that a queue behind a
    /// breakpoint stays short.
    static let callLimit = 64
    /// Milliseconds between attempts to listen, when another process still does.
    private static let patience: UInt64 = 1_000

    unowned let worker: Worker
    private let listener: ConfigurationBundle.Listener
    /// Files with relative names are in this folder.
    let folder: String
    /// In the place of the key of `debug:`, under `sluice dev`.
    private let ownKey: TraceKey?
    private var server: InspectorServer?
    private let retry = InspectionTimer()
    private var said = false
    /// What the addresses of functions are made of, the same in all workers; nobody can guess them.
    private let seed: [UInt8]
    /// How many workers list what can be debugged; 1 where the kernel chose the ports, which others do not know.
    let workers: Int

    /// nil: not asked for.
    init?(_ worker: Worker) {
        let settings = worker.context.settings
        guard let text = settings["inspect"], let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
        self.worker = worker
        // Workers listen side by side: the first on the port that was asked for, the next one on the next.
        let own = port == 0 ? 0 : UInt16(clamping: Int(port) + worker.context.worker)
        listener = ConfigurationBundle.Listener(name: "inspect", address: String(text[..<colon]), port: own)
        folder = settings["inspect-folder"] ?? ""
        let given = settings["inspect-seed"] ?? ""
        seed = Array((given.isEmpty ? UUIDText.make() : given).utf8)
        workers = port == 0 ? 1 : max(1, settings["workers"].flatMap { Int($0) } ?? 1)
        ownKey = settings["inspect-key"].flatMap { TraceKey(Array($0.utf8)) }
        retry.inspection = self
    }

    func begin() {
        do {
            let (socket, port) = try ListeningSocket.openSingle(listener)
            var actual = listener
            actual.port = port
            let server = InspectorServer(socket, self)
            try worker.addLevelTriggered(server)
            self.server = server
            tell(actual.endpoint)
        } catch {
            if !said { worker.note(.warning, "\(error); functions cannot be inspected until then") }
            said = true
            worker.schedule(retry, after: Inspection.patience)
        }
    }

    /// The worker is leaving: what stands at a breakpoint goes on, and nobody comes any more.
    func end() {
        worker.cancel(retry)
        for function in functions { function.inspected?.sendClientsAway("the gateway is leaving") }
        server?.close()
    }

    private func tell(_ endpoint: String) {
        worker.note(.info, "functions can be inspected at http://\(endpoint)/json/list")
        if let ownKey {
            let header = ownKey.sign(expires: worker.wallSeconds + TraceKey.longestLife, Inspection.header)
            worker.note(.info, "a request goes to an inspected function with the header Sluice-Inspect: \(header)")
        }
    }

    /// Whether a request shall go to inspected functions. The header goes no further either way.
    func wants(_ runner: ExchangeRunner) -> Bool {
        guard let range = runner.request.value(of: .sluiceInspect) else { return false }
        let value = runner.request.text(range)
        runner.request.remove(.sluiceInspect)
        if let ownKey, ownKey.accepts(value, now: worker.wallSeconds, Inspection.header) { return true }
        return runner.generation?.tracing?.key.accepts(value, now: worker.wallSeconds, Inspection.header) ?? false
    }

    // MARK: Targets

    var functions: [SharedFunction] { worker.generation?.functions.functions ?? [] }

    /// What stands in the address of a function in a worker.
    func identity(_ function: String, worker: Int) -> String {
        UUIDText.make(MessageCode.make(key: seed, text: Array("\(worker) \(function)".utf8)) ?? [])
    }

    func function(_ identity: String) -> SharedFunction? {
        functions.first { MessageCode.areEqual(Array(self.identity($0.key.name, worker: worker.context.worker).utf8), Array(identity.utf8)) }
    }

    /// A signed request came for a function into which nobody looks here: with several workers the kernel chose the wrong one.
    func missed(_ function: String) {
        guard workers > 1 else { return }
        worker.note(
            .info, "a request to be inspected came to worker \(worker.context.worker), where nobody looks into function \(function): "
                + "attach to it in every worker, or run with --workers 1")
    }

    /// Where DevTools find a file.
    func url(_ path: String) -> String { "file://" + (path.hasPrefix("/") ? path : "\(folder)/\(path)") }

    /// The process in which a function is looked into.
    func inspected(_ shared: SharedFunction) -> InspectedFunction? {
        if shared.inspected == nil, let hooks = worker.hooks { shared.inspect(InspectedFunction(shared.key.name, folder: folder, hooks.cordons)) }
        return shared.inspected
    }
}

private final class InspectionTimer: Timer {
    unowned var inspection: Inspection?
    override func fire() { inspection?.begin() }
}

/// 122 random bits in the usual dress (RFC 9562 section 5.4).
enum UUIDText {
    static func make() -> String {
        var generator = SystemRandomNumberGenerator()
        return make((0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }

    /// - Parameter random: 16 bytes; without them (no memory for a hash) others are taken.
    static func make(_ random: [UInt8]) -> String {
        guard random.count >= 16 else { return make() }
        var bytes = Array(random.prefix(16))
        bytes[6] = bytes[6] & 0x0f | 0x40
        bytes[8] = bytes[8] & 0x3f | 0x80
        var text = ""
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { text += "-" }
            text += String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
        }
        return text
    }
}
