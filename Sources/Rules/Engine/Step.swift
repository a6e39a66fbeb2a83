public import Buffers

/// What the gateway has to do next. Everything that only changes heads, variables or the route has
/// already been done when a step is returned.
public enum Step: Sendable, Equatable {
    /// The phase is over; go on with the exchange.
    case done
    /// Run a hook, then ask for the next step.
    case run(HookCall)
    /// Answer the client: status and fields are in `exchange.response`.
    case respond(Reply)
    /// Count the request: `withLimitKey`, then `settle` the verdict, then ask for the next step.
    case limit(LimitCheck)
    /// Write a line to the log, then ask for the next step.
    case log(LogLine)
    /// Close the connection without an answer.
    case drop
}

/// A `log` action.
public struct LogLine: Sendable, Equatable {
    public var rule: Int32
    /// Text in `exchange.request`'s arena, without control characters.
    public var text: ByteRange
}

/// A `run` action.
public struct HookCall: Sendable, Equatable {
    /// Index into `Configuration.functions`.
    public var function: Int
    /// The rule that asked for it, for logs: `generation.ruleID(rule)`.
    public var rule: Int32
    /// JSON for `ctx.args`, read with `generation.withBytes(_:_:)`; empty when the rule gives none.
    public var arguments: ByteRange
}

/// A finished answer made by a rule.
public struct Reply: Sendable, Equatable {
    public enum Origin: UInt8, Sendable { case respond, redirect, deny, limit }
    public enum Body: Sendable, Equatable {
        case none
        /// Fixed text, read with `generation.withBytes(_:_:)`.
        case constant(ByteRange)
        /// Text made for this exchange, in `exchange.response`'s arena.
        case rendered(ByteRange)

        public var count: Int {
            switch self {
            case .none: 0
            case .constant(let range), .rendered(let range): Int(range.count)
            }
        }
    }
    public var origin: Origin
    public var rule: Int32
    public var body: Body
}
