import Glibc
import Reactor
import Supervisor

/// A gateway without HTTP, rules or hooks, so that the supervisor's tests need none of them.
///
///     SupervisorProbe run CONFIGURATION WORKERS DRAIN_MS
///     SupervisorProbe worker
///
/// The configuration has one word list per line:
///     listener NAME ADDRESS PORT | admin ADDRESS:PORT | function NAME FINGERPRINT
///     late MILLISECONDS (workers answer to a reload after that)
///     gate PIPE (workers take it when the pipe was opened for writing and closed)
///     broken TEXT (rejected) | crash (traps while being examined) | refuse (workers refuse it)
@main
struct Probe {
    static func main() {
        let arguments = CommandLine.arguments
        guard arguments.count > 1 else { return }
        if arguments[1] == "worker" || arguments[1] == "scratch" {
            becomeWorker()
        } else {
            var options = SupervisorOptions(configurationPath: arguments[2], workers: Int(arguments[3]) ?? 1)
            options.drainMilliseconds = UInt64(arguments[4]) ?? 1000
            options.stallMilliseconds = 1000
            options.logFormat = .json
            options.control = "off"
            options.version = "test"
            options.workerSettings = ["greeting": "hello"]
            exit(Supervisor.run(options, load: ProbeConfiguration.load))
        }
    }

    private static func becomeWorker() {
        do {
            switch try WorkerBootstrap.start() {
            case .scratch(let scratch):
                try scratch.run(load: ProbeConfiguration.load, validate: ProbeConfiguration.validate)
            case .worker(let context):
                let worker = try ProbeWorker(context)
                worker.run()
            }
        } catch {
            print("worker: \(error)")
            exit(1)
        }
    }
}
