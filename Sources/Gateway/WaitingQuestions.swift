/// Questions that wait, first come, first served. What was taken is let go of soon, also where something always waits.
struct WaitingQuestions<Question> {
    private var questions: [Question] = []
    private var taken = 0

    var count: Int { questions.count - taken }
    var isEmpty: Bool { count == 0 }
    var first: Question? { isEmpty ? nil : questions[taken] }

    mutating func append(_ question: Question) { questions.append(question) }

    /// Before all others.
    mutating func putBack(_ question: Question) {
        if taken == 0 { return questions.insert(question, at: 0) }
        taken -= 1
        questions[taken] = question
    }

    mutating func popFirst() -> Question? {
        guard let first else { return nil }
        taken += 1
        if isEmpty {
            questions.removeAll(keepingCapacity: true)
            taken = 0
        } else if taken >= 64, taken * 2 >= questions.count {
            questions.removeFirst(taken)
            taken = 0
        }
        return first
    }
}
