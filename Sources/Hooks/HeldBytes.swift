// What calls have the gateway hold, and V8's limits do not see: a text that costs a script nothing to hand over again and again.

import Buffers
import HTTP
import Isolates

enum HeldLimits {
    /// A body or value that a call may have waiting whatever the function's other calls have.
    static let alwaysHeld = 64 << 10
    /// Bytes of fields, URLs, variables and state that one call hands over in all.
    static let text = 1 << 20
    /// Bytes of WebSocket messages, and messages, of a cordon that nobody has taken yet.
    static let messageBytes = remoteMessageLimit, messages = 1 << 20
}

extension HookCall {
    /// Counts text that the call hands over. False: that is more than it may.
    final func stages(_ count: Int) -> Bool {
        progress.stagedBytes &+= count
        return progress.stagedBytes <= HeldLimits.text
    }

    /// A body or a value that was handed over as a whole waits in the gateway until the sub-request or the store's request with
    /// this number is over. False: with it the call would have more waiting than the function may have memory.
    final func holds(_ number: Int32, _ count: Int, atMost most: Int) -> Bool {
        guard count > 0 else { return true }
        guard count <= most - heldBytes else { return false }
        held.append((number, count))
        heldBytes += count
        return true
    }

    final func letGo(_ number: Int32) {
        guard !held.isEmpty, let index = held.firstIndex(where: { $0.number == number }) else { return }
        heldBytes -= held.remove(at: index).count
    }

    final func letGoOfAll() {
        guard !held.isEmpty else { return }
        held.removeAll()
        heldBytes = 0
    }

    /// Takes what a cordon's hook does with its WebSockets. False: more than one that keeps to the rules could have waiting.
    final func takes(_ actions: [(socket: Int32, action: HookSocketAction)]) -> Bool {
        socketActions += actions
        let bytes = socketActions.reduce(0) { sum, one in
            if case .message(let message) = one.action { sum + message.bytes.count } else { sum }
        }
        return bytes <= HeldLimits.messageBytes && socketActions.count <= HeldLimits.messages
    }
}

extension HookOperations {
    static let stagedTooMuch = NativeFailure.rangeError(stagedTooMuchText)

    /// Refuses text beyond what one call may hand over.
    func stage(_ count: Int, _ call: HookCall) throws(NativeFailure) {
        guard call.stages(count) else { throw HookOperations.stagedTooMuch }
    }

    /// Refuses a body or a value with which more would wait than the function may have memory.
    func hold(_ number: Int32, _ count: Int, _ call: HookCall) throws(NativeFailure) {
        let most = function.source.limits.memoryBytes
        guard count <= HeldLimits.alwaysHeld || count <= most - function.heldBytes, call.holds(number, count, atMost: most) else {
            throw .rangeError("bodies of sub-requests and values of more than limits.memory wait to be sent")
        }
    }

    /// `setVariable(slot, epoch, name, value)`
    func setVariable(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native)
        guard let exchange = call.exchange else { throw HookOperations.ended }
        let name = try native.utf8(2), value = try native.utf8(3)
        try stage(name.count + value.count, call)
        exchange.vars.set(name, value)
    }

    /// `setState(slot, epoch, text)`
    func setState(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native), text = try native.utf8(2)
        try stage(text.count, call)
        call.state = text.array()
    }
}
