public import Gateway
public import Rules
import HTTP
import Upstream

/// What a configuration does with a request, and why.
public struct Explanation {
    public var text: String
    public var json: JSON

    /// Plays the request with every decision kept.
    /// - Parameter answer: what the origin answers.
    /// - Throws: `ExplanationError` when the configuration cannot be loaded.
    public init(
        _ path: String, _ request: RehearsedRequest, answer: TestAnswer, provider: any FileProvider = RehearsalFiles()
    ) throws(ExplanationError) {
        let loaded = RuleFile.load(path, provider: provider)
        guard let configuration = loaded.configuration else {
            throw ExplanationError(description: loaded.diagnostics.text + loaded.diagnostics.summary)
        }
        let played: RehearsedAnswer
        do {
            let script = OriginScript([answer])
            let gateway = try RehearsalGateway(configuration, files: loaded.filesRead)
            played = gateway.play(request, traced: true) { script.outcome($0) }
        } catch {
            throw ExplanationError(description: "error: \(error)")
        }
        text = Self.text(request, played, configuration)
        json = Self.json(request, played)
    }

    private static func url(_ request: RehearsedRequest) -> String {
        "\(request.scheme == .https ? "https" : "http")://\(request.authority)\(request.target)"
    }

    private static func text(_ request: RehearsedRequest, _ answer: RehearsedAnswer, _ configuration: Configuration) -> String {
        var out = Difference.shown("\(request.method) \(url(request))") + "\n"
        if let site = configuration.sites.first(where: { $0.name == answer.site }) {
            out += "site \(site.name)  \(configuration.describe(site.position))\n"
        } else {
            out += "no site answers for this host\n"
        }
        out += answer.trace.text + "\n"
        if let upstream = answer.upstream { out += "upstream: \(upstream)\n" }
        for call in answer.calls {
            out += Difference.shown("  \(call.isSubrequest ? "sub-request of a hook" : "request") to \(call.upstream) (server \(call.server)): \(call.request.method) \(call.request.target)") + "\n"
            for field in call.request.fields { out += "    " + Difference.shown("\(field.name): \(field.value)") + "\n" }
        }
        if answer.calls.isEmpty { out += "no origin is asked\n" }
        if let error = answer.error { out += "error: \(error.name) (error.kind \(error.kind))\(error.note.isEmpty ? "" : ": \(error.note)")\n" }
        for line in answer.log { out += "log: \(Difference.shown(line))\n" }
        out += answer.status == 0 ? "\nthe connection is closed without an answer\n" : "\nanswer: \(answer.status) \(StatusName.of(answer.status))\n"
        for field in answer.fields { out += "  " + Difference.shown("\(field.name): \(field.value)") + "\n" }
        return out
    }

    private static func json(_ request: RehearsedRequest, _ answer: RehearsedAnswer) -> JSON {
        .object([
            ("method", .string(request.method)), ("url", .string(url(request))), ("site", JSON(answer.site)),
            ("trace", JSON(answer.trace.json) ?? .array([])), ("rules", .strings(answer.rules)), ("upstream", JSON(answer.upstream)),
            ("calls", .array(answer.calls.map { call in
                .object([
                    ("upstream", .string(call.upstream)), ("server", .integer(call.server)), ("subrequest", .boolean(call.isSubrequest)),
                    ("method", .string(call.request.method)), ("target", .string(call.request.target)), ("headers", fields(call.request.fields)),
                ])
            })),
            ("hooks", .array(answer.hooks.map {
                .object([("function", .string($0.function)), ("phase", .string($0.phase)), ("outcome", .string($0.outcome))])
            })),
            ("error", JSON(answer.error?.name)), ("log", .strings(answer.log)), ("status", .integer(answer.status)),
            ("headers", fields(answer.fields)),
        ])
    }

    private static func fields(_ fields: [(name: String, value: String)]) -> JSON {
        .array(fields.map { .object([("name", .string($0.name)), ("value", .string($0.value))]) })
    }
}

public struct ExplanationError: Error, CustomStringConvertible {
    public let description: String
}
