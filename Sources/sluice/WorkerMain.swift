import Gateway
import Reactor

/// What a worker process does once it has its context.
enum WorkerMain {
    /// - Returns: the exit status.
    static func run(_ context: WorkerContext) -> Int32 {
        Worker.main(context)
    }
}
