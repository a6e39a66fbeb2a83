/// What sets a cordon apart from others, told to it before V8 starts.
public struct CordonOptions: Equatable, Sendable {
    /// Clients of DevTools may look into its one function.
    public var isInspected = false
    /// The folder of the functions' files, as DevTools are told.
    public var folder = ""

    public init() {}

    var bytes: [UInt8] { [CordonLink.Birth.options.rawValue, isInspected ? 1 : 0] + Array(folder.utf8) }

    init(_ bytes: [UInt8]) {
        isInspected = bytes.count > 1 && bytes[1] & 1 != 0
        folder = String(decoding: bytes.dropFirst(2), as: UTF8.self)
    }
}
