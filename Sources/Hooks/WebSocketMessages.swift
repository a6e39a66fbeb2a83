import Buffers
import Isolates

/// A message of a WebSocket, on its way through a hook.
public struct HookMessage: Sendable, Equatable {
    public var bytes: [UInt8]
    /// Valid UTF-8.
    public var isText: Bool
    public var fromClient: Bool

    public init(_ bytes: [UInt8], isText: Bool, fromClient: Bool) {
        self.bytes = bytes
        self.isText = isText
        self.fromClient = fromClient
    }
}

/// `HookCall.message` holds the message before the call and what became of it afterwards: nil for dropped.
extension HookOperations {
    /// `message(slot, epoch)`: a string or bytes.
    func message(_ native: borrowing NativeCall) throws(NativeFailure) {
        guard let message = try call(native).message else { throw .typeError("there is no message") }
        if message.isText { try native.returnUTF8(message.bytes.span) } else { try native.returnBytes(message.bytes.span) }
    }

    /// `setMessage(slot, epoch, value)`: null drops it.
    func setMessage(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native)
        guard call.exchange != nil, call.phase == .webSocket, let from = call.message?.fromClient else { throw HookOperations.ended }
        switch native.kind(2) {
        case .null: call.message = nil
        case .string: call.message = HookMessage(try native.utf8(2).array(), isText: true, fromClient: from)
        default: call.message = HookMessage(try native.bytes(2).array(), isText: false, fromClient: from)
        }
    }
}

extension WireWriter {
    mutating func message(_ message: HookMessage?) {
        flag(message != nil)
        guard let message else { return }
        flag(message.isText)
        flag(message.fromClient)
        bytes(message.bytes.span)
    }
}

extension WireReader {
    /// Checked: text of a cordon that is no UTF-8 never reaches a peer.
    mutating func message() throws(WireError) -> HookMessage? {
        guard try flag() else { return nil }
        let isText = try flag(), fromClient = try flag()
        let bytes = try array()
        if isText, String(validating: bytes, as: UTF8.self) == nil { throw WireError("text that is no UTF-8") }
        return HookMessage(bytes, isText: isText, fromClient: fromClient)
    }
}
