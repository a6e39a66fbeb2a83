import Buffers

extension BodyStage {
    /// The hook reads a copy of what it has handed on: from now on it takes the body chunk by chunk, from its beginning.
    func collectNoMore() {
        collects = false
        guard collected else { return }
        collected = false
        given.append(contentsOf: &intake)
        intake.append(contentsOf: &given)
    }
}
