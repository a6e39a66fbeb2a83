import Buffers
import Glibc
import Reactor
import Support

/// The page that a worker shares with a cordon, whose cursors anything may be written into: eight bytes a step say where and
/// what, or that the worker reads or writes.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = input(start, count)
    guard let worker = try? SharedRing() else { return 0 }
    guard let memory = mmap(nil, cursorBytes, PROT_READ | PROT_WRITE, MAP_SHARED, worker.descriptor.number, 0), memory != MAP_FAILED else { return 0 }
    defer { munmap(memory, cursorBytes) }
    var arena = ByteArena()
    for at in stride(from: 0, to: bytes.count - 7, by: 8) {
        let place = Int(bytes[at + 1]) * 8 % cursorBytes
        let value = bytes[(at + 2)..<(at + 8)].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        switch bytes[at] & 3 {
        // Near what is there, where the limits are, or anywhere.
        case 0: memory.storeBytes(of: memory.load(fromByteOffset: place, as: UInt64.self) &+ (value >> 24), toByteOffset: place, as: UInt64.self)
        case 1: memory.storeBytes(of: value << UInt64(bytes[at] >> 2), toByteOffset: place, as: UInt64.self)
        case 2: read(worker, &arena)
        default: write(worker, Int(value & 0x7_ffff))
        }
    }
    return 0
}

private let cursorBytes = 4096
private let much = [UInt8](repeating: 7, count: 0x8_0000)

private func read(_ ring: SharedRing, _ arena: inout ByteArena) {
    let before = arena.count
    // A cursor that cannot be costs the cordon its life.
    guard let count = try? ring.read(into: &arena) else { return }
    require(count >= 0 && count <= SharedRing.capacity && arena.count == before + count, "more was read than a ring has")
    if arena.count > 8 << 20 { arena.removeAll() }
    _ = ring.writerMustBeWoken()
    _ = ring.prepareToWait(forRoom: count & 1 == 1)
}

private func write(_ ring: SharedRing, _ count: Int) {
    guard let written = try? ring.write(much.span.extracting(first: count)) else { return }
    require(written >= 0 && written <= min(count, SharedRing.capacity), "more was written than a ring has")
    _ = ring.readerMustBeWoken()
}
