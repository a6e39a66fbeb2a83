import CLinux

/// Bytes in a memfd that nobody can change any more, to be handed to other processes.
public enum SealedMemory {
    /// More than any configuration needs; a bound for what a peer can make us read.
    public static let limit = 1 << 30

    public static func create(name: String, _ bytes: [UInt8]) throws(SystemError) -> OwnedDescriptor {
        let result = unsafe bytes.withUnsafeBytes { buffer in
            // SAFETY: C reads `count` bytes of the buffer during the call.
            unsafe sluice_sealed_memory(name, buffer.baseAddress, buffer.count)
        }
        return OwnedDescriptor(adopting: try check(result, "memfd_create", name))
    }

    /// Reads all bytes. Refuses a descriptor that is not sealed: its owner could change it under us.
    public static func read(_ descriptor: borrowing OwnedDescriptor) throws(SystemError) -> [UInt8] {
        let number = descriptor.number
        guard sluice_is_sealed(number) == 1 else {
            throw SystemError(call: "fcntl", code: 1, subject: "memory of descriptor \(number) is not sealed")
        }
        let size = Int(sluice_file_size(number))
        guard size >= 0, size <= limit else {
            throw SystemError(call: "fstat", code: 27, subject: "memory of descriptor \(number)")
        }
        var failure: Int32 = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, filled in
            while filled < size {
                // SAFETY: the room behind `filled` is `size - filled` bytes.
                let count = unsafe sluice_read_at(number, buffer.baseAddress?.advanced(by: filled), size - filled, Int64(filled))
                if count <= 0 {
                    failure = count < 0 ? Int32(-count) : 5
                    return
                }
                filled += count
            }
        }
        if failure != 0 { throw SystemError(call: "pread", code: failure, subject: "memory of descriptor \(number)") }
        return bytes
    }
}
