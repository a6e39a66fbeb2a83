import Reactor

/// What a worker process does once it has its context.
enum WorkerMain {
    /// - Returns: the exit status.
    static func run(_ context: WorkerContext) -> Int32 {
        StandardError.print("sluice: this build has no gateway")
        return 1
    }
}
