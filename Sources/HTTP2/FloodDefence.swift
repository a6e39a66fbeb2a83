/// Counts what a client does that costs us more than it costs the client (LIMITS: flood defences).
///
/// Decides only; the session ends the connection with ENHANCE_YOUR_CALM when an answer is false.
struct FloodDefence {
    private let mostGlitches: Int
    private let glitchMilliseconds: UInt64
    private let burst: Int
    private let perSecond: UInt64
    private let emptyDataInRow: Int
    private var glitchWindowStart: UInt64 = 0
    private var glitches = 0
    private var tokens: Int
    private var refilled: UInt64 = 0
    private var started = false
    private var emptyData = 0

    init(_ limits: HTTP2Limits) {
        mostGlitches = limits.glitches
        glitchMilliseconds = limits.glitchMilliseconds
        burst = limits.controlBurst
        perSecond = UInt64(limits.controlPerSecond)
        emptyDataInRow = limits.emptyDataInRow
        tokens = limits.controlBurst
    }

    /// Call with the time before a batch of frames.
    mutating func tick(_ now: UInt64) {
        guard started else {
            started = true
            glitchWindowStart = now
            refilled = now
            return
        }
        if now &- glitchWindowStart >= glitchMilliseconds {
            glitchWindowStart = now
            glitches = 0
        }
        let earned = Int(clamping: (now &- refilled) * perSecond / 1000)
        if earned > 0 {
            refilled = now
            earn(earned)
        }
    }

    /// A reset by the client or provoked by it, a refused stream (Rapid Reset, MadeYouReset).
    mutating func glitch() -> Bool {
        glitches += 1
        return glitches <= mostGlitches
    }

    /// A control frame that asks for work.
    mutating func control(cost: Int = 1) -> Bool {
        tokens -= cost
        return tokens >= 0
    }

    /// Streams opened and DATA sent make control frames likely: WINDOW_UPDATE above all.
    mutating func earn(_ count: Int) { tokens = min(tokens + count, burst) }

    /// A DATA frame; `empty`: without bytes and without the end of its stream.
    mutating func data(empty: Bool) -> Bool {
        emptyData = empty ? emptyData + 1 : 0
        return emptyData <= emptyDataInRow
    }
}
