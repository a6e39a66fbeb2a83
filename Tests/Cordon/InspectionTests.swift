import Cordon
import Testing

/// What worker and cordon say about debugging, and messages that come in parts.
@Suite struct InspectionTests {
    @Test(arguments: [
        InspectionPacket.connect(1), .disconnect(-7), .message(0x01020304, [1, 2, 3], more: true), .message(2, [], more: false), .ended(3, "gone"),
    ]) func `a packet comes back as it went`(_ packet: InspectionPacket) { #expect(InspectionPacket(packet.bytes) == packet) }

    @Test(arguments: [[], [16], [16, 0, 0, 0], [4, 0, 0, 0, 0], [255, 0, 0, 0, 0]] as [[UInt8]])
    func `what is no packet is none`(_ bytes: [UInt8]) { #expect(InspectionPacket(bytes) == nil) }

    @Test(arguments: [0, 1, InspectionPacket.partLimit - 1, InspectionPacket.partLimit, InspectionPacket.partLimit + 1, 5 * InspectionPacket.partLimit])
    func `a message of any length is put together again`(_ count: Int) {
        let message = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        var messages = InspectionMessages()
        var whole: [[UInt8]] = []
        for packet in InspectionPacket.parts(9, message.span) {
            guard case .message(9, let part, let more) = packet else {
                Issue.record("another packet")
                return
            }
            #expect(part.count <= InspectionPacket.partLimit)
            if let one = messages.take(9, part, more: more, limit: 1 << 20) { whole.append(one) }
        }
        #expect(whole == [message])
    }

    @Test func `sessions do not mix, and a message that is too long is left out`() {
        var messages = InspectionMessages()
        #expect(messages.take(1, [1, 2], more: true, limit: 3) == nil)
        #expect(messages.take(2, [9], more: false, limit: 3) == [9])
        #expect(messages.take(1, [3, 4], more: true, limit: 3) == nil)
        #expect(messages.take(1, [5], more: false, limit: 3) == nil)
        #expect(messages.take(1, [6], more: false, limit: 3) == [6])
        #expect(messages.take(1, [7], more: true, limit: 3) == nil)
        messages.forget(1)
        #expect(messages.take(1, [8], more: false, limit: 3) == [8])
    }
}
