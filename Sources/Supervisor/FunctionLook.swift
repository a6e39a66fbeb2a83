import Reactor

/// Looks that somebody waits for.
struct PendingLooks {
    var last: UInt64 = 0
    var waiting: [UInt64: (worker: Int32, answer: (AdminResponse) -> Void)] = [:]
}

/// Profiles and heap snapshots of functions, asked of one worker.
extension Supervisor {
    /// Longer than that nobody waits for an answer.
    static let lookLimit: UInt64 = 50

    /// `?function=NAME&seconds=N&worker=0`; no seconds: the heap.
    func look(_ request: AdminRequest, _ answer: @escaping (AdminResponse) -> Void) {
        guard let function = request.parameter("function"), !function.isEmpty else {
            return answer(.problem(400, "Bad Request", "function is the name of a function"))
        }
        var seconds: UInt64 = 0
        if let text = request.parameter("seconds") {
            guard let number = UInt64(text), (1...Supervisor.lookLimit).contains(number) else {
                return answer(.problem(400, "Bad Request", "seconds is a number from 1 to \(Supervisor.lookLimit)"))
            }
            seconds = number
        }
        let index = request.parameter("worker").map { Int($0) ?? -1 } ?? 0
        guard workers.indices.contains(index), let worker = workers[index], worker.state == .ready else {
            return answer(.problem(409, "Conflict", "there is no worker \(index) that serves"))
        }
        looks.last += 1
        looks.waiting[looks.last] = (worker.pid, answer)
        worker.send(.look(id: looks.last, function: function, milliseconds: seconds * 1_000))
    }

    func looked(_ worker: WorkerProcess, _ id: UInt64, _ failure: String, _ descriptor: consuming OwnedDescriptor?) {
        if id & Supervisor.originsMark != 0 { return originsCame(worker, id, descriptor) }
        guard let waiting = looks.waiting[id], waiting.worker == worker.pid else { return }
        looks.waiting[id] = nil
        guard failure.isEmpty, let descriptor, let bytes = try? SealedMemory.read(descriptor) else {
            return waiting.answer(.problem(409, "Conflict", failure.isEmpty ? "the worker's answer could not be read" : failure))
        }
        waiting.answer(.json(String(decoding: bytes, as: UTF8.self)))
    }

    /// A worker died under those who look at it.
    func looksLost(_ worker: WorkerProcess) {
        originsLost(worker)
        for (id, waiting) in looks.waiting where waiting.worker == worker.pid {
            looks.waiting[id] = nil
            waiting.answer(.problem(409, "Conflict", "the worker died meanwhile"))
        }
    }
}
