import Buffers
import CV8

/// What a call of the hot path came to. A text comes with a number that says what it means.
public struct CallAnswer {
    public enum Kind {
        case int(Int32)
        /// The text is `Isolate.answerText`.
        case text(meaning: Int32)
        /// The same as the text that was brought along.
        case broughtText(meaning: Int32)
        case other
    }

    public let kind: Kind
    /// The script asked for the text that was brought along.
    public let wasWanted: Bool
}

// SAFETY: `raw` lives as long as this Isolate, which is one thread's; the shim reads what it is given before it returns.
extension Isolate {
    /// Calls an entry with integers and a text by its number, then runs the microtasks: cheaper than one after the other. A stopped
    /// script is `.other`; the turn's report says why.
    /// - Parameter text: what `textNumber` gave; -1: the script gets null.
    public func callAndSettle(_ entry: Int, _ integers: InlineArray<5, Int32>, text: Int32) -> CallAnswer {
        requireTurn()
        var answer = cv8_answer()
        var error: UnsafeMutablePointer<cv8_error>?
        let status = unsafe integers.span.withUnsafeBufferPointer { buffer in
            unsafe cv8_call_answering(raw, checked(entry), buffer.baseAddress, buffer.count, text, &answer, &error)
        }
        guard status == CV8_RETURNED else {
            if let error = unsafe error { unsafe cv8_error_free(error) }
            return CallAnswer(kind: .other, wasWanted: answer.was_wanted)
        }
        let wanted = answer.was_wanted
        switch cv8_kind(rawValue: UInt32(bitPattern: answer.kind)) {
        case CV8_INT: return CallAnswer(kind: .int(answer.integer), wasWanted: wanted)
        case CV8_STRING where answer.is_brought: return CallAnswer(kind: .broughtText(meaning: answer.integer), wasWanted: wanted)
        case CV8_STRING: return CallAnswer(kind: .text(meaning: answer.integer), wasWanted: wanted)
        default: return CallAnswer(kind: .other, wasWanted: wanted)
        }
    }

    /// The number by which a text is brought along that a script was given more than once (`NativeCall.returnRepeated`); -1 for any other.
    public func textNumber(_ text: borrowing Span<UInt8>) -> Int32 {
        unsafe text.withUnsafeBufferPointer { unsafe cv8_text_find(raw, cv8_bytes(bytes: $0.baseAddress, count: $0.count)) }
    }

    /// What a text means that a script handed over by an operation of its own, where it says so in `native.answerBox`.
    public var answerMeaning: Int32 { unsafe cv8_answer_meaning(raw) }

    /// The text of the last answer, one byte for each character, until the next call.
    public var answerText: Span<UInt8> {
        @_lifetime(borrow self)
        borrowing get {
            let bytes = unsafe cv8_answer_text(raw)
            // SAFETY: the bytes lie in the isolate.
            let span = unsafe Span(_unsafeStart: bytes.bytes ?? emptyBytes, count: bytes.count)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }
}

extension NativeCall {
    /// A string with one character for each byte: the very string that it was before, where it was returned so more than once.
    /// - Returns: whether it was.
    // SAFETY: `raw` lives as long as the operation; V8 copies what it is given.
    public func returnRepeated(_ text: borrowing Span<UInt8>) throws(NativeFailure) -> Bool {
        var repeated = false
        let call = unsafe raw
        let passed = unsafe text.withUnsafeBufferPointer { buffer in
            unsafe cv8_return_repeated(call, cv8_bytes(bytes: buffer.baseAddress, count: buffer.count), &repeated)
        }
        if !passed { throw .pending }
        return repeated
    }
}
