import Buffers
import HTTP
import Isolates

/// The field that a function's calls of one phase read first: `side | number << 1`. Where its text came before, a call brings it along,
/// and the script need not ask for it. What was brought in vain too often is forgotten.
struct Expectation {
    static let nothing: Int32 = -1
    private static let patience: UInt8 = 8

    private(set) var code = nothing
    private var inVain: UInt8 = 0

    /// A call read this field, and its text came before.
    mutating func learn(_ code: Int32) {
        guard self.code == Expectation.nothing else { return }
        self.code = code
        inVain = 0
    }

    mutating func note(wanted: Bool) {
        inVain = wanted ? 0 : inVain &+ 1
        if inVain == Expectation.patience { code = Expectation.nothing }
    }
}

extension HookFunction {
    /// The number of the text that this call will want first, when the function's isolate knows it; -1 when not.
    func foresee(_ expected: Expectation, _ exchange: Exchange, _ isolate: LoadedIsolate) -> Int32 {
        expected.code & 1 == HookSide.request.rawValue
            ? foresee(expected.code >> 1, in: exchange.request, isolate) : foresee(expected.code >> 1, in: exchange.response, isolate)
    }

    private func foresee(_ name: Int32, in head: borrowing Head, _ isolate: LoadedIsolate) -> Int32 {
        names.withName(name) { (id, name) in
            guard let first = head.firstIndex(of: id, named: name), head.firstIndex(of: id, named: name, from: first + 1) == nil else { return -1 }
            return isolate.isolate.textNumber(head.bytes(head.fields[first].value))
        } ?? -1
    }

    /// Calls `start` of the prelude, within a turn.
    func run(_ call: HookCall, _ isolate: LoadedIsolate, _ binding: Int32, _ phase: HookPhase, _ exchange: Exchange) -> CallAnswer.Kind {
        let entry = HookEntry.start.rawValue
        let expected = phase == .request ? expectations.request : phase == .response ? expectations.response : Expectation()
        guard expected.code != Expectation.nothing else {
            return isolate.isolate.callAndSettle(entry, [call.slot, call.epoch, phase.rawValue, binding, Expectation.nothing], text: -1).kind
        }
        let text = foresee(expected, exchange, isolate)
        let code = text < 0 ? Expectation.nothing : expected.code
        let answer = isolate.isolate.callAndSettle(entry, [call.slot, call.epoch, phase.rawValue, binding, code], text: text)
        if phase == .request { expectations.request.note(wanted: answer.wasWanted) } else { expectations.response.note(wanted: answer.wasWanted) }
        return answer.kind
    }

    /// Nil while it is not known.
    func outcome(of call: HookCall, _ result: CallAnswer.Kind, _ isolate: LoadedIsolate) -> HookOutcome? {
        let (meaning, isKnown): (Int32, Bool)
        switch result {
        case .int(let code): return code & ~HookCode.tail == HookCode.pending ? nil : settle(call, code)
        case .text(let said): (meaning, isKnown) = (said, false)
        case .broughtText(let said): (meaning, isKnown) = (said, true)
        case .other: return nil
        }
        if let failure = stageAnswer(of: isolate.isolate, meaning, isKnown, call) {
            fail(call, failure)
            return takeOutcome(of: call)
        }
        return settle(call, HookCode.proceed)
    }

    /// A call of `phase` was given the text of a field that came before.
    func learn(_ code: Int32, _ phase: HookPhase) {
        if phase == .request { expectations.request.learn(code) } else if phase == .response { expectations.response.learn(code) }
    }

    private func stageAnswer(of isolate: borrowing Isolate, _ meaning: Int32, _ isKnown: Bool, _ call: HookCall) -> HookFailure? {
        stageAnswer(meaning, isolate.answerText, isKnown: isKnown, call)
    }

    /// Stages the one edit that a script left to its result.
    /// - Parameter isKnown: the value was a field's before.
    /// - Returns: the call's failure where the edit cannot be.
    func stageAnswer(_ meaning: Int32, _ value: borrowing Span<UInt8>, isKnown: Bool = false, _ call: HookCall) -> HookFailure? {
        guard call.stages(value.count) else { return HookFailure(.error, call, HookOperations.stagedTooMuchText) }
        switch stage(meaning, value, isKnown: isKnown, call) {
        case .taken?: return nil
        case .refused?:
            tally.fieldsRefused += 1
            return nil
        case .malformed?: return HookFailure(.error, call, "TypeError: \(HookOperations.malformed(value))")
        case nil: return HookFailure(.error, call, "TypeError: not an edit")
        }
    }

    /// Stages an edit of a field whose name has a number: `side | action << 1 | (number + 1) << 3`. Nil when it has none.
    func stage(_ code: Int32, _ value: borrowing Span<UInt8>, isKnown: Bool = false, _ call: HookCall) -> StagedEdits.Verdict? {
        guard code >> 3 > 0, let side = HookSide(rawValue: code & 1), let action = StagedEdits.Action(rawValue: code >> 1 & 3) else { return nil }
        return names.withName(code >> 3 - 1) { (id, name) in call.edits.add(action, side, id, token: name, value, isKnown: isKnown) }
    }
}

extension HookOperations {
    static let stagedTooMuchText = "one call hands the gateway more than \(HeldLimits.text >> 10) KiB of headers, URLs, variables and state"

    static func malformed(_ value: borrowing Span<UInt8>) -> String {
        "a header has a name or value that HTTP does not allow: \"\(value.text())\""
    }

    /// `finish(slot, epoch, code)`, or with the value of one edit behind it: what it means stands in `native.answerBox`.
    func finish(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native)
        guard call.exchange != nil else { throw HookOperations.ended }
        let code = try native.int32(2)
        guard native.argumentCount > 3, let loaded = function.loaded else { return function.finish(call, code) }
        if let failure = function.stageAnswer(loaded.isolate.answerMeaning, try native.latin1(3), call) {
            function.fail(call, failure)
        } else {
            function.finish(call, code)
        }
    }
}
