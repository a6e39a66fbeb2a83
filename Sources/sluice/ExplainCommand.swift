import ArgumentParser
import Foundation
import Gateway
import Rehearsal
import Rules

struct ExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Say what a configuration does with a request, rule by rule, and why.",
        discussion: """
            The request is described by --url and its companions, by an entry of a HAR file, or by a line of the access \
            log. The gateway's own rules and hooks run; the origin is played and answers 200 unless told otherwise.
            """)

    @Option(name: [.short, .long], help: ArgumentHelp("The rule file.", valueName: "file"))
    var config: String

    @Option(help: ArgumentHelp("Where the request goes.", valueName: "https://host/path"))
    var url: String?

    @Option(help: "The method. (default: GET)")
    var method: String?

    @Option(name: .long, help: ArgumentHelp("A header field; may be given again.", valueName: "name: value"))
    var header: [String] = []

    @Option(help: ArgumentHelp("The body.", valueName: "text"))
    var body: String?

    @Option(help: ArgumentHelp("The client's address.", valueName: "address"))
    var clientIp: String?

    @Option(help: ArgumentHelp("An entry of a HAR file, the first without a number.", valueName: "file[#n]"))
    var har: String?

    @Option(help: ArgumentHelp("A line of the access log; - reads it from the standard input.", valueName: "line"))
    var log: String?

    @Option(help: ArgumentHelp("What the origin answers.", valueName: "status"))
    var originStatus: Int?

    @Option(help: ArgumentHelp("A header field of that answer; may be given again.", valueName: "name: value"))
    var originHeader: [String] = []

    @Option(help: ArgumentHelp("Print a header that has live requests explained in the log for so long (needs debug: in the rule file).", valueName: "time"))
    var sign: TimeText?

    @Flag(help: "With --sign: the header that sends requests to functions under inspection (--inspect) instead.")
    var inspect = false

    @Flag(help: "Print a JSON object.")
    var json = false

    func validate() throws {
        guard sign == nil else { return }
        guard [url, har, log].count(where: { $0 != nil }) == 1 else { throw ValidationError("Give one of --url, --har and --log.") }
        if let originStatus, !(200...599).contains(originStatus) {
            throw ValidationError("--origin-status must be from 200 to 599, not \(originStatus).")
        }
    }

    func run() throws {
        if let sign { return try printHeader(life: Int(sign.milliseconds / 1000)) }
        let described = try describe()
        do {
            let explanation = try Explanation(config, described.request, answer: described.answer)
            print(json ? explanation.json.pretty : explanation.text, terminator: json ? "\n" : "")
        } catch {
            StandardError.print("\(error)")
            throw ExitCode(1)
        }
    }

    private func printHeader(life: Int) throws {
        let loaded = RuleFile.load(config, provider: RehearsalFiles())
        guard let debug = loaded.configuration?.debug else {
            StandardError.print(loaded.configuration == nil ? loaded.diagnostics.text : "sluice: \(config) has no `debug: {key_file: ...}`")
            throw ExitCode(1)
        }
        guard let bytes = FileManager.default.contents(atPath: debug.key.path), let key = TraceKey(Array(bytes)) else {
            StandardError.print("sluice: \(debug.key.path): not a key of at least \(TraceKey.shortestKey) bytes")
            throw ExitCode(1)
        }
        guard (1...TraceKey.longestLife).contains(life) else { throw ValidationError("--sign must be from 1s to 24 hours.") }
        let expires = Int(Date().timeIntervalSince1970) + life
        print(inspect ? "Sluice-Inspect: \(key.sign(expires: expires, TraceKey.inspectHeader))" : "Sluice-Trace: \(key.sign(expires: expires))")
    }

    private func describe() throws -> DescribedRequest {
        var described = DescribedRequest()
        if let url, !described.take(url: url) { throw ValidationError("\"\(url)\" is not a URL such as https://host/path.") }
        if let har { try take(har, &described) }
        if let log {
            let line = log == "-" ? readLine() ?? "" : log
            if let problem = described.take(logLine: line) { throw ValidationError("--log: \(problem).") }
        }
        if let method { described.request.method = method }
        for line in header where !described.take(header: line) { throw ValidationError("\"\(line)\" is not a header field.") }
        for line in originHeader where !described.take(originHeader: line) { throw ValidationError("\"\(line)\" is not a header field.") }
        if let body { described.request.body = Array(body.utf8) }
        if let clientIp, !described.take(client: clientIp) { throw ValidationError("\"\(clientIp)\" is not an IP address.") }
        if let originStatus { described.answer.status = originStatus }
        return described
    }

    private func take(_ har: String, _ described: inout DescribedRequest) throws {
        let parts = har.split(separator: "#", maxSplits: 1).map { String($0) }
        guard let path = parts.first, let data = FileManager.default.contents(atPath: path) else {
            throw ValidationError("\(har): the file cannot be read.")
        }
        guard let number = parts.count == 2 ? Int(parts[1]) : 0 else { throw ValidationError("\(har): \"\(parts[1])\" is not a number.") }
        if let problem = described.take(har: String(decoding: data, as: UTF8.self), entry: number) {
            throw ValidationError("\(path): \(problem).")
        }
    }
}
