/// Where a value stands in a rule file. Kept to run time so that logs and traces can cite it.
public struct SourcePosition: Sendable, Hashable {
    /// Index into `Configuration.files`; -1 when the value was not written but is a default.
    public var file: Int32
    /// 1-based.
    public var line: Int32
    /// 1-based, in Unicode scalars.
    public var column: Int32
    /// How many scalars to underline, at least 1.
    public var length: Int32

    public init(file: Int, line: Int, column: Int, length: Int = 1) {
        self.file = Int32(clamping: file)
        self.line = Int32(clamping: line)
        self.column = Int32(clamping: column)
        self.length = Int32(clamping: max(1, length))
    }

    /// A value nobody wrote.
    public static let none = SourcePosition(file: -1, line: 0, column: 0)

    /// The place `offset` scalars further on the same line.
    func advanced(by offset: Int, length: Int) -> SourcePosition {
        SourcePosition(file: Int(file), line: Int(line), column: Int(column) + offset, length: length)
    }
}
