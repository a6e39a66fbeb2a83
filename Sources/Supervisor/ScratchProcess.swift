public import Reactor

/// What came of examining a configuration.
public enum Examination: Sendable {
    case good(ConfigurationBundle, notes: String)
    /// All that is wrong, ready to be shown.
    case bad(String)
}

/// A process that examines a configuration. Whatever the files do to it, nobody else is hurt.
final class ScratchProcess: ManagedProcess {
    /// Milliseconds a configuration may take to be examined.
    static let limit: UInt64 = 30_000

    private let done: (Examination) -> Void
    private var outcome: Examination?
    private var timedOut = false

    /// - Parameter done: called once, when the process has ended.
    init(path: String, arguments: [String], reactor: Reactor, done: @escaping (Examination) -> Void) throws(SystemError) {
        self.done = done
        try super.init(reactor: reactor) { control throws(SystemError) in try ManagedProcess.spawn(arguments, control: control) }
        send(.examine(path: path))
    }

    func timeIsUp() {
        timedOut = true
        kill()
    }

    override func received(_ message: WorkerMessage, _ packet: inout ControlPacket) {
        switch message {
        case .rejected(let diagnostics): outcome = .bad(diagnostics)
        case .loaded(let notes):
            do {
                let memory = try packet.takeDescriptor("a configuration")
                outcome = .good(try ConfigurationBundle(decoding: try SealedMemory.read(memory)), notes: notes)
            } catch {
                outcome = .bad("the checked configuration could not be read: \(error)")
            }
        case .ready, .refused, .drained, .wantCordon, .killCordon, .cordonStrike, .slow, .snapshot: break
        }
    }

    override func ended(_ end: ProcessEnd) { done(outcome ?? .bad(explanation(end))) }

    private func explanation(_ end: ProcessEnd) -> String {
        if timedOut { return "checking the configuration took longer than \(ScratchProcess.limit / 1000) s and was stopped" }
        return "the process that checked the configuration died (\(end)); a hook module or a bug in Sluice is the likely cause"
    }
}

extension Examination {
    /// Examines a configuration in a process of its own and waits for the outcome.
    public static func run(path: String, arguments: [String] = ["sluice", "scratch"]) -> Examination {
        do {
            let reactor = try Reactor()
            var outcome: Examination?
            let process = try ScratchProcess(path: path, arguments: arguments, reactor: reactor) {
                outcome = $0
                reactor.stop()
            }
            let timer = ExaminationTimer(process)
            reactor.schedule(timer, after: ScratchProcess.limit)
            reactor.run()
            reactor.cancel(timer)
            return outcome ?? .bad("the configuration was not examined")
        } catch {
            return .bad("the process that checks the configuration cannot be started: \(error)")
        }
    }
}

private final class ExaminationTimer: Timer {
    private let process: ScratchProcess
    init(_ process: ScratchProcess) { self.process = process }
    override func fire() { process.timeIsUp() }
}
