import Cordon
import Reactor
import Support

/// The first byte says which message it is, the rest are its bytes: what processes of the gateway say to each other. A worker
/// runs strangers' requests and a cordon strangers' code, so the other side believes neither.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 1 else { return 0 }
    let all = input(start, count)
    let bytes = Array(all.dropFirst())
    do {
        try read(Int(all[0] % 7), bytes)
    } catch {
        // A bundle has eight bytes more.
        require(error.offset <= bytes.count + 8 && !error.what.isEmpty, "a place behind the end: \(error)")
    }
    return 0
}

private func read(_ kind: Int, _ bytes: [UInt8]) throws(PacketError) {
    switch kind {
    case 0:
        let message = try SupervisorMessage(decoding: bytes)
        require(try SupervisorMessage(decoding: message.encoded()) == message, "it reads otherwise the second time")
    case 1:
        let message = try WorkerMessage(decoding: bytes)
        require(try WorkerMessage(decoding: message.encoded()) == message, "it reads otherwise the second time")
    case 2:
        var report = try WorkerReport(decoding: bytes)
        require(try WorkerReport(decoding: report.encoded()) == report, "it reads otherwise the second time")
        report.add(report)
        report.add(report)
    case 3:
        // A worker's bundle has its fingerprint behind it; with a right one every byte of it is looked at.
        var fingerprint = Fingerprint()
        fingerprint.add(bytes)
        var writer = PacketWriter()
        writer.number(fingerprint.value)
        let bundle = try ConfigurationBundle(decoding: bytes + writer.bytes)
        require(try ConfigurationBundle(decoding: bundle.encoded()) == bundle, "it reads otherwise the second time")
        _ = bundle.forWorkers.paths
    case 4:
        guard let message = try TakeoverMessage.decode(bytes) else { return }
        require(try TakeoverMessage.decode(message.encoded()) == message, "it reads otherwise the second time")
    case 5:
        guard let packet = InspectionPacket(bytes) else { return }
        require(InspectionPacket(packet.bytes) == packet, "it reads otherwise the second time")
    default: parts(bytes)
    }
}

/// Parts of several sessions: no more is kept than a message may have and one part, and a short message comes out as it went in.
private func parts(_ bytes: [UInt8]) {
    var messages = InspectionMessages()
    var sent: [Int32: [UInt8]] = [:]
    var at = 0
    while at < bytes.count {
        let session = Int32(bytes[at] & 3), more = bytes[at] & 4 != 0
        let part = Array(bytes[(at + 1)...].prefix(Int(bytes[at] >> 3)))
        at += 1 + part.count
        sent[session, default: []] += part
        let whole = messages.take(session, part, more: more, limit: 64)
        require(!more || whole == nil, "a message before its end")
        guard !more else { continue }
        let expected = sent.removeValue(forKey: session) ?? []
        require(whole == (expected.count <= 64 ? expected : nil), "another message than was sent")
    }
}
