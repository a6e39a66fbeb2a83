internal import CLinux

/// What this process uses of the machine. One object per worker: it keeps the descriptor it reads from.
public final class ResourceGauge {
    private let statm: Int32
    /// Bytes that the machine, or the control group of the process, has.
    public let memoryTotal: Int
    /// How many descriptors may be open.
    public let descriptorLimit: Int

    public init() {
        statm = sluice_statm_open()
        memoryTotal = Int(sluice_memory_total())
        descriptorLimit = Int(sluice_descriptor_limit())
    }

    deinit { if statm >= 0 { _ = sluice_close(statm) } }

    /// Resident bytes without pages of mapped files; 0 where the system does not tell.
    public var residentBytes: Int { statm >= 0 ? max(0, Int(sluice_statm_resident(statm))) : 0 }

    /// Gives what the allocator has free back to the system.
    public func trim() { sluice_memory_trim() }
}

/// A descriptor kept back, so that with a full table there is one to take a connection with and close it: otherwise
/// clients would wait in the kernel's queue for ever.
public struct SpareDescriptor: ~Copyable {
    private var fd: Int32

    public init() { fd = sluice_spare_descriptor() }

    deinit { if fd >= 0 { _ = sluice_close(fd) } }

    /// Refuses the connection that has waited longest on a listening socket. False when there was none, or no spare.
    public mutating func refuseOne(_ listener: Int32) -> Bool {
        guard fd >= 0 else {
            fd = sluice_spare_descriptor()
            return false
        }
        _ = sluice_close(fd)
        let taken = ListeningSocket.accept(listener)
        if let taken { Listening.reject(taken) }
        fd = sluice_spare_descriptor()
        return taken != nil
    }
}
