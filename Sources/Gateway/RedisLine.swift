import KeyValue

/// Questions to Redis in portions. What is asked comes back whenever it likes, as large as it is, and whoever asked may not take it yet: so
/// a tenant has only as much under way as will find room, and what finds none all the same is let go and asked again.
/// It decides; `RedisQuestions` asks.
struct RedisLine<Question> {
    /// Each tenant has a line of its own for each namespace.
    struct Key: Hashable {
        let tenant: String
        let namespace: String
    }

    /// A question that was sent, and what its answer is expected to weigh.
    struct Sent {
        let key: Key
        let question: Question
        let reserved: Int
        fileprivate let isRead: Bool
    }

    /// What may be under way and wait to be taken together, by what is expected; one question always may.
    static var window: Int { 1 << 20 }
    /// What may wait to be taken in truth, and one.
    static var mostHeld: Int { 4 << 20 }
    static var mostUnderWay: Int { 128 }
    /// Questions of one line that wait.
    static var most: Int { StoreLine<Question>.most }
    /// What the first answers are taken for.
    static var atFirst: Int { 64 << 10 }
    /// Lines without anything in them that are kept for what they know.
    private static var idle: Int { 256 }

    private struct Line {
        /// With what they carry themselves; -1: they only ask.
        var questions = WaitingQuestions<(question: Question, bytes: Int)>()
        var underWay = 0
        var expected = 0
        var held = 0
        /// What an answer weighs here: the largest of late.
        var typical = RedisLine.atFirst

        var isIdle: Bool { questions.isEmpty && underWay == 0 && held == 0 }

        func weight(_ bytes: Int) -> Int { bytes < 0 ? typical : bytes + StoreLine<Question>.answerWeight }

        /// The next one, if there is room for its answer.
        var mayAsk: Question? {
            guard let next = questions.first, underWay < RedisLine.mostUnderWay else { return nil }
            return underWay == 0 && held == 0 || expected + held + weight(next.bytes) <= RedisLine.window ? next.question : nil
        }
    }

    private var lines: [Key: Line] = [:]
    /// Those in which something waits to be sent, the next one first.
    private var turns: [Key] = []

    /// Nothing waits to be sent.
    var isEmpty: Bool { turns.isEmpty }

    /// - Parameter bytes: what the question carries, of a write.
    /// - Returns: false when too many of the line wait.
    mutating func add(_ question: Question, _ key: Key, bytes: Int?) -> Bool {
        if lines[key] == nil, lines.count >= Self.idle { lines = lines.filter { !$0.value.isIdle } }
        let waiting = lines[key]?.questions.count ?? 0
        guard waiting < Self.most else { return false }
        if waiting == 0 { turns.append(key) }
        lines[key, default: Line()].questions.append((question, bytes ?? -1))
        return true
    }

    /// The next question that may be sent; its line stands at the end from now on.
    mutating func next(where canTake: (Question) -> Bool) -> Sent? {
        guard let index = turns.firstIndex(where: { lines[$0]?.mayAsk.map(canTake) ?? false }) else { return nil }
        let key = turns.remove(at: index)
        guard var line = lines.removeValue(forKey: key), let (question, bytes) = line.questions.popFirst() else { return nil }
        let sent = Sent(key: key, question: question, reserved: line.weight(bytes), isRead: bytes < 0)
        if !line.questions.isEmpty { turns.append(key) }
        line.underWay += 1
        line.expected += sent.reserved
        lines[key] = line
        return sent
    }

    /// An answer is there; of weight 0 when nobody wants it any more.
    /// - Returns: false when there is no room for it: the question stands first in its line again.
    mutating func arrived(_ sent: Sent, weight: Int) -> Bool {
        guard var line = lines.removeValue(forKey: sent.key) else { return true }
        defer { lines[sent.key] = line }
        line.underWay -= 1
        line.expected -= sent.reserved
        if sent.isRead, weight > 0 { line.typical = max(weight, line.typical - line.typical / 4, StoreLine<Question>.answerWeight) }
        guard sent.isRead, line.held > 0, line.held + weight > Self.mostHeld else {
            line.held += weight
            return true
        }
        if line.questions.isEmpty { turns.append(sent.key) }
        line.questions.putBack((sent.question, -1))
        return false
    }

    /// An answer was taken, or nobody wants it any more.
    mutating func taken(_ weight: Int, of key: Key) { lines[key]?.held -= weight }
}
