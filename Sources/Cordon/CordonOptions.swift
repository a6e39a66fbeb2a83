/// What sets a cordon apart from others, told to it before V8 starts.
public struct CordonOptions: Equatable, Sendable {
    /// Clients of DevTools may look into its one function.
    public var isInspected = false
    /// The folder of the functions' files, as DevTools are told.
    public var folder = ""

    /// Its one function has WebAssembly: bytes of memory of the function's, 0 for none.
    public var webAssemblyBytes = 0

    public init() {}

    var bytes: [UInt8] {
        let megabytes = UInt16(clamping: webAssemblyBytes == 0 ? 0 : max(1, webAssemblyBytes >> 20))
        return [CordonLink.Birth.options.rawValue, isInspected ? 1 : 0, UInt8(megabytes >> 8), UInt8(megabytes & 255)] + Array(folder.utf8)
    }

    init(_ bytes: [UInt8]) {
        isInspected = bytes.count > 1 && bytes[1] & 1 != 0
        if bytes.count > 3 { webAssemblyBytes = (Int(bytes[2]) << 8 | Int(bytes[3])) << 20 }
        folder = String(decoding: bytes.dropFirst(4), as: UTF8.self)
    }
}
