import Reactor
import Rules

/// Why a configuration cannot be served.
struct GenerationError: Error, CustomStringConvertible {
    let description: String
}

/// What of a configuration belongs to no thread: read, checked and compiled.
struct PreparedConfiguration: Sendable {
    let configuration: Configuration
    let rules: Generation
    let files: FileBundle

    init(_ bundle: ConfigurationBundle) throws(GenerationError) {
        let files = FileBundle(files: Dictionary(bundle.files.map { ($0.path, $0.bytes) }) { first, _ in first })
        let result = RuleFile.load(bundle.mainFile, provider: files)
        guard let configuration = result.configuration else {
            throw GenerationError(description: result.diagnostics.first.map { $0.message } ?? "the configuration is empty")
        }
        self.init(configuration, files)
    }

    init(_ configuration: Configuration, _ files: FileBundle) {
        self.configuration = configuration
        self.files = files
        rules = Generation(configuration)
    }
}

/// Makes configurations ready and lets them go, both on a thread of its own: thousands of rules are read in tenths of
/// a second and freed in hundredths, and no request should wait for either.
final class GenerationShelf {
    /// Behind the requests, but not so far that a busy machine never gets its new configuration.
    private static let niceness: Int32 = 5

    private let workshop: Workshop<Result<PreparedConfiguration, GenerationError>>
    /// By number. The shelf has the last reference to each, so that the thread frees them.
    private var kept: [UInt64: PreparedConfiguration] = [:]
    private var ended: [UInt64] = []

    init(reactor: Reactor) throws(SystemError) {
        workshop = try Workshop(reactor: reactor, niceness: Self.niceness)
    }

    /// - Parameter use: called on the reactor's thread, in the order of the calls.
    func prepare(_ bundle: ConfigurationBundle, then use: @escaping (Result<PreparedConfiguration, GenerationError>) -> Void) {
        workshop.make({ Result { () throws(GenerationError) in try PreparedConfiguration(bundle) } }, then: use)
    }

    func keep(_ prepared: PreparedConfiguration, number: UInt64) { kept[number] = prepared }

    /// Nothing refers to this generation after the present turn of the loop.
    func ends(number: UInt64) { ended.append(number) }

    func endOfTurn() {
        guard !ended.isEmpty else { return }
        for number in ended { if let last = kept.removeValue(forKey: number) { workshop.discard(last) } }
        ended.removeAll()
    }
}
