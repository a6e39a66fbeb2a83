import Hooks
import KeyValue
import Stores

/// What hooks of a worker ask of namespaces in Redis, and the answers that they have not taken.
final class RedisQuestions {
    private struct Arrived {
        let sent: RedisLine<StoreQuestion>.Sent
        let answer: StoreAnswer
        let weight: Int
    }

    private unowned let stores: WorkerStores
    private var line = RedisLine<StoreQuestion>()
    private var arrived: [Arrived] = []

    init(_ stores: WorkerStores) { self.stores = stores }

    /// Nothing waits for being sent or taken.
    var isEmpty: Bool { arrived.isEmpty && line.isEmpty }

    /// False: too many of the tenant wait.
    func ask(_ question: StoreQuestion, _ name: String) -> Bool {
        let request = question.request.request
        let key = RedisLine<StoreQuestion>.Key(tenant: question.tenant, namespace: name)
        guard line.add(question, key, bytes: request.isWrite ? request.size : nil) else { return false }
        send()
        return true
    }

    /// Asks what has room.
    private func send() {
        while let sent = line.next(where: { $0.call.hasRoomForAnswers }) {
            guard let namespace = sent.question.namespace, case .redis(let store) = namespace.place, sent.question.isWanted else {
                _ = line.arrived(sent, weight: 0)
                continue
            }
            store.perform(sent.question.request.request, now: stores.wallSeconds) { [weak self] in self?.arrived(sent, $0) }
        }
    }

    private func arrived(_ sent: RedisLine<StoreQuestion>.Sent, _ answer: StoreAnswer) {
        let weight = sent.question.isWanted ? StoreLine<StoreQuestion>.weight(of: answer) : 0
        if line.arrived(sent, weight: weight), weight > 0 {
            if let namespace = sent.question.namespace { stores.tally(answer, namespace) }
            arrived.append(Arrived(sent: sent, answer: answer, weight: weight))
        }
        stores.post()
    }

    /// Gives answers to those who have room, as much as a turn of the loop has time for. False: nothing was to be given.
    func deliver(_ left: inout Int) -> Bool {
        let batch = arrived
        arrived.removeAll(keepingCapacity: true)
        var given = false
        for one in batch {
            let question = one.sent.question, isWanted = question.isWanted
            guard !isWanted || left > 0 && question.call.hasRoomForAnswers else {
                arrived.append(one)
                continue
            }
            line.taken(one.weight, of: one.sent.key)
            guard isWanted else { continue }
            given = true
            left -= one.weight
            question.call.storeFinished(question.request.ticket, one.answer)
        }
        send()
        return given
    }
}
