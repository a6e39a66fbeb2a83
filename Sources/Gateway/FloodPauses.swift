import Buffers
import HTTP

/// Clients whose connections were ended for a flood. A budget per connection alone is worth little: whoever used it up
/// would connect again at once. Their next connections begin later each time, and one after the other.
///
/// An address is no client: many may share it. So what waits is who comes from the address with the same TLS fingerprint (JA4) as
/// whoever flooded, and only from the second flood on. An address that floods with many fingerprints waits as a whole.
struct FloodPauses {
    private struct Record {
        /// When the next connection may begin, monotonic milliseconds as all times here.
        var next: UInt64 = 0
        var floods = 0
    }

    private struct AddressRecord {
        /// By fingerprint; without TLS it is empty.
        var clients: [String: Record] = [:]
        /// Of all of them together, once they are too many.
        var whole: Record?
        var forgottenAt: UInt64 = 0
    }

    /// Milliseconds between two connections of such a client.
    static let spacing: UInt64 = 50
    /// Floods that cost nobody a wait.
    static let forgiven = 1
    /// A pause doubles so often.
    static let doublings = 4
    /// Fingerprints of one address that are told apart.
    static let fingerprints = 4
    /// Without another flood an address is as good as any after so long.
    static let memory: UInt64 = 60_000
    /// Addresses known at once; beyond, some are forgotten early.
    static let capacity = 4_096

    private var addresses: [IPAddress: AddressRecord] = [:]
    /// Addresses known now.
    var count: Int { addresses.count }

    mutating func flooded(_ client: ClientInfo, now: UInt64, pause: UInt64) {
        flooded(client.address, client.tls?.fingerprint ?? "", now: now, pause: pause)
    }

    /// - Parameter pause: how long the next connection waits the first time; 0 makes nobody wait.
    mutating func flooded(_ address: IPAddress, _ fingerprint: String, now: UInt64, pause: UInt64) {
        guard pause > 0 else { return }
        if addresses.count >= FloodPauses.capacity { makeRoom(now) }
        var known = addresses[address] ?? AddressRecord()
        if known.forgottenAt <= now { known = AddressRecord() }
        known.forgottenAt = now + FloodPauses.memory
        if known.clients[fingerprint] == nil, known.clients.count >= FloodPauses.fingerprints, known.whole == nil {
            known.whole = Record(next: 0, floods: FloodPauses.forgiven)
        }
        if var whole = known.whole {
            FloodPauses.count(&whole, now, pause)
            known.whole = whole
        } else {
            FloodPauses.count(&known.clients[fingerprint, default: Record()], now, pause)
        }
        addresses[address] = known
    }

    private static func count(_ record: inout Record, _ now: UInt64, _ pause: UInt64) {
        record.floods += 1
        let paid = record.floods - forgiven
        guard paid > 0 else { return }
        record.next = max(record.next, now + pause << UInt64(min(paid - 1, doublings)))
    }

    /// Whether connections of this address have to be looked at.
    mutating func suspects(_ address: IPAddress, now: UInt64) -> Bool {
        guard !addresses.isEmpty, let known = addresses[address] else { return false }
        if known.forgottenAt > now { return known.whole != nil || known.clients.values.contains { $0.floods > FloodPauses.forgiven } }
        addresses[address] = nil
        return false
    }

    /// Milliseconds that a new connection of this client has to wait. Counts it.
    mutating func wait(_ address: IPAddress, _ fingerprint: String, now: UInt64) -> UInt64 {
        guard var known = addresses[address], known.forgottenAt > now else { return 0 }
        defer { addresses[address] = known }
        if var whole = known.whole {
            defer { known.whole = whole }
            return FloodPauses.turn(&whole, now)
        }
        guard var record = known.clients[fingerprint] else { return 0 }
        defer { known.clients[fingerprint] = record }
        return FloodPauses.turn(&record, now)
    }

    private static func turn(_ record: inout Record, _ now: UInt64) -> UInt64 {
        guard record.floods > forgiven else { return 0 }
        let start = max(record.next, now)
        record.next = start + spacing
        return start - now
    }

    private mutating func makeRoom(_ now: UInt64) {
        addresses = addresses.filter { $0.value.forgottenAt > now }
        while addresses.count >= FloodPauses.capacity { addresses.remove(at: addresses.startIndex) }
    }
}
