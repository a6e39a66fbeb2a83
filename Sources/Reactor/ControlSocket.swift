import CLinux

/// One packet, with the descriptor that came with it.
public struct ControlPacket: ~Copyable {
    public let bytes: [UInt8]
    public var descriptor: OwnedDescriptor?

    /// Takes the descriptor out; throws when the sender forgot it.
    public mutating func takeDescriptor(_ what: String) throws(PacketError) -> OwnedDescriptor {
        guard let taken = descriptor.take() else { throw PacketError(what: "\(what) came without its descriptor", offset: 0) }
        return taken
    }
}

/// What came out of an attempt to receive.
public enum ControlReceipt: ~Copyable {
    case packet(ControlPacket)
    case wouldBlock
    /// The other process closed its end or died.
    case peerGone
}

/// One end of a packet connection between supervisor and worker (`SOCK_SEQPACKET`). Packets keep
/// their borders, arrive in order, and can carry one descriptor each.
public final class ControlSocket {
    /// Largest packet; the default socket buffer holds more.
    public static let packetLimit = 128 * 1024

    public let descriptor: OwnedDescriptor

    public init(adopting descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

    /// Two connected ends. The first is non-blocking, for a reactor; the second blocks.
    public static func pair() throws(SystemError) -> (ControlSocket, ControlSocket) {
        var numbers: InlineArray<2, Int32> = [-1, -1]
        var span = numbers.mutableSpan
        // SAFETY: C writes two descriptors into room for two.
        let result = unsafe span.withUnsafeMutableBufferPointer { unsafe sluice_control_pair($0.baseAddress) }
        try check(result, "socketpair", "control channel")
        let ours = ControlSocket(adopting: OwnedDescriptor(adopting: numbers[0]))
        let theirs = ControlSocket(adopting: OwnedDescriptor(adopting: numbers[1]))
        try ours.descriptor.setNonBlocking(true)
        return (ours, theirs)
    }

    /// Sends one packet.
    /// - Parameter passing: a descriptor the other process gets a copy of; -1 for none.
    public func send(_ bytes: [UInt8], passing: Int32 = -1) throws(SystemError) {
        let result = unsafe bytes.withUnsafeBytes { buffer in
            // SAFETY: C reads `count` bytes during the call.
            unsafe sluice_control_send(descriptor.number, buffer.baseAddress, buffer.count, passing)
        }
        try check(result, "sendmsg", "control channel")
    }

    /// The other side reads that nothing more comes.
    public func finishSending() { _ = sluice_shutdown_write(descriptor.number) }

    /// Receives one packet; waits for it only if the socket is blocking.
    public func receive() throws(SystemError) -> ControlReceipt {
        var passed: Int32 = -1
        var result = 0
        let number = descriptor.number
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: ControlSocket.packetLimit) { buffer, filled in
            // SAFETY: C writes at most the buffer's capacity and answers how much.
            unsafe result = sluice_control_receive(number, buffer.baseAddress, buffer.count, &passed)
            filled = max(result, 0)
        }
        let carried: OwnedDescriptor? = passed >= 0 ? OwnedDescriptor(adopting: passed) : nil
        if result > 0 { return .packet(ControlPacket(bytes: bytes, descriptor: carried)) }
        // ECONNRESET: the peer died with packets of ours unread.
        if result == 0 || result == -104 { return .peerGone }
        if result == -11 { return .wouldBlock }
        throw SystemError(call: "recvmsg", code: Int32(-result), subject: "control channel")
    }
}
