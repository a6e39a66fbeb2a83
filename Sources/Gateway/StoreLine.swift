import Hooks
import KeyValue

/// A question to a namespace that is answered at its turn.
struct StoreQuestion {
    let call: GatewayHookCall
    let tenant: String
    /// Nil: what the tenant keeps with `caches`.
    let namespace: OpenNamespace?
    let request: HookStoreRequest

    /// False: its call is over.
    var isWanted: Bool { call.waits(for: request.ticket) }
}

/// Such questions in portions: a call may ask a thousand at once, and their answers neither hold the loop nor are all in memory before the
/// hook has had the first. Tenants take turns. It decides; `WorkerStores` looks.
struct StoreLine<Question> {
    /// What the answers of one turn of the loop may weigh. The last one may go beyond it.
    static var share: Int { 512 << 10 }
    /// The work for an answer, and for an entry of a list, in bytes that would be as much to copy.
    static var answerWeight: Int { 4 << 10 }
    static var entryWeight: Int { 512 }
    /// Questions of one tenant that wait.
    static var most: Int { 4_096 }

    /// Those of each tenant; none is empty.
    private var waiting: [(tenant: String, questions: WaitingQuestions<Question>)] = []

    var isEmpty: Bool { waiting.isEmpty }

    /// False: too many of the tenant wait.
    mutating func add(_ question: Question, of tenant: String) -> Bool {
        let index = waiting.firstIndex { $0.tenant == tenant } ?? waiting.endIndex
        if index == waiting.endIndex { waiting.append((tenant, WaitingQuestions())) }
        guard waiting[index].questions.count < Self.most else { return false }
        waiting[index].questions.append(question)
        return true
    }

    /// The next one of a tenant that can take its answer; that tenant stands at the end from now on.
    mutating func next(where canTake: (Question) -> Bool) -> Question? {
        guard let index = waiting.firstIndex(where: { $0.questions.first.map(canTake) ?? false }) else { return nil }
        var mine = waiting.remove(at: index)
        let question = mine.questions.popFirst()
        if !mine.questions.isEmpty { waiting.append(mine) }
        return question
    }

    static func weight(of answer: StoreAnswer) -> Int {
        switch answer {
        case .entry(let entry): answerWeight + entry.value.count + entry.metadata.count
        case .page(let page): page.names.reduce(answerWeight) { $0 + entryWeight + $1.name.count + $1.metadata.count }
        case .missing, .done, .failed: answerWeight
        }
    }
}
