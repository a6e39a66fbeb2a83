/// What the gateway answers to a call's questions.
enum HookAnswer {
    case body(HookSide, [UInt8]), bodyFailed(HookSide, String)
    case originArrived, originFailed(String)
    case answered(Int32, status: Int, fields: [UInt8], body: [UInt8]), answerFailed(Int32, String)
    case answering(Int32, status: Int, fields: [UInt8]), answerEnd(Int32), askRoom(Int32)
    case stored(Int32, PackedStoreAnswer)
    case socketOpened, socketMessage(Int32, HookMessage), socketClosed(Int32, UInt16, String, Bool, String), socketLeft(Int32, UInt64)
    case upgraded(Int32, [UInt8])

    /// `waitUntil` work may go on asking after the result.
    var isForTails: Bool {
        switch self {
        case .answered, .answerFailed, .answering, .answerEnd, .askRoom, .stored, .bodyFailed, .socketOpened, .socketMessage, .socketClosed, .socketLeft, .upgraded: true
        default: false
        }
    }
}
