public import Rules

/// The real files; certificates and keys are taken to be there, because nothing is encrypted in a rehearsal and keys are
/// not where tests run.
public struct RehearsalFiles: FileProvider {
    private let base: any FileProvider

    public init(_ base: any FileProvider = DiskFiles()) { self.base = base }

    public func read(_ path: String, limit: Int) throws(FileFailure) -> [UInt8] { try base.read(path, limit: limit) }

    public func exists(_ path: String) -> Bool {
        [".crt", ".key", ".pem", ".cer"].contains { path.hasSuffix($0) } || base.exists(path)
    }

    public func matching(_ pattern: String) -> [String] { base.matching(pattern) }
}
