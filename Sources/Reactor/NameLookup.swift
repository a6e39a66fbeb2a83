public import Buffers
import CLinux

/// Looks names up on a thread of its own, because `getaddrinfo` blocks. Answers arrive on the reactor's thread.
public final class NameLookup {
    private let workshop: Workshop<[IPAddress]>
    private var handler: ((UInt64, [IPAddress]) -> Void)?

    /// - Throws: when no thread or event descriptor can be had.
    public init(reactor: Reactor) throws(SystemError) { workshop = try Workshop(reactor: reactor) }

    /// Called on the reactor's thread for every `look(up:id:)`; no addresses when the name does not resolve.
    public func onAnswer(_ handler: @escaping (UInt64, [IPAddress]) -> Void) { self.handler = handler }

    /// - Parameter id: comes back with the answer.
    public func look(up name: String, id: UInt64) {
        workshop.make({ NameLookup.addresses(of: name) }, then: { [weak self] in self?.handler?(id, $0) })
    }

    private static func addresses(of name: String) -> [IPAddress] {
        var found: [sluice_address] = Array(repeating: sluice_address(), count: 16)
        // SAFETY: C writes at most 16 entries and answers how many.
        let count = unsafe found.withUnsafeMutableBufferPointer { unsafe sluice_resolve(name, $0.baseAddress, 16) }
        return found.prefix(max(0, Int(count))).map { IPAddress($0) }
    }
}
