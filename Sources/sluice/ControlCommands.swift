import ArgumentParser
import Foundation
import Supervisor

/// Which running gateway a command is meant for.
struct GatewayOptions: ParsableArguments {
    @Option(name: [.short, .long], help: ArgumentHelp("The rule file that the gateway serves. (default: the only gateway running)", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("Its control socket.", valueName: "path"))
    var socket: String?

    /// Asks, and ends the command with a message when nobody answers or the answer is a refusal.
    func ask(_ method: String, _ target: String, accepting: Set<Int> = [200]) throws -> AdminClient.Answer {
        do throws(AdminClientError) {
            let path = try ControlPath.choose(socket: socket, configuration: config)
            let answer = try AdminClient.ask(path, method, target)
            if !accepting.contains(answer.status) { throw AdminClientError(refused: answer) }
            return answer
        } catch {
            StandardError.print("sluice: error: \(error)")
            throw ExitCode(1)
        }
    }
}

extension AdminClient.Answer {
    /// The answer as a dictionary; empty when it is no JSON object.
    var object: [String: Any] {
        (try? JSONSerialization.jsonObject(with: Data(body.utf8))) as? [String: Any] ?? [:]
    }
}

struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload",
        abstract: "Have a running gateway take its changed configuration over.",
        discussion: """
            Prints what changed. A configuration with a mistake changes nothing: every mistake is printed and the exit \
            status is 1.
            """)

    @OptionGroup var gateway: GatewayOptions

    @Flag(help: "Print the answer as JSON.")
    var json = false

    func run() throws {
        let answer = try gateway.ask("POST", "/v1/reload", accepting: [200, 422])
        if json {
            print(answer.body, terminator: "")
        } else {
            show(answer)
        }
        if answer.status != 200 { throw ExitCode(1) }
    }

    private func show(_ answer: AdminClient.Answer) {
        let object = answer.object
        let message = object["message"] as? String ?? answer.body
        guard answer.status == 200 else {
            let generation = object["generation"] as? Int ?? 0
            return StandardError.print("\(message)\nThe running configuration (generation \(generation)) was not changed.")
        }
        print(message)
        for change in object["changes"] as? [String] ?? [] { print("  \(change)") }
    }
}

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show how a running gateway is: workers, listeners, configuration.")

    @OptionGroup var gateway: GatewayOptions

    @Flag(help: "Print the answer as JSON.")
    var json = false

    func run() throws {
        let answer = try gateway.ask("GET", "/status")
        if json { return print(answer.body, terminator: "") }
        let object = answer.object
        func text(_ key: String, in part: [String: Any]) -> String { part[key].map { "\($0)" } ?? "-" }
        print("sluice \(text("version", in: object)), pid \(text("pid", in: object)), \(text("phase", in: object)) since \(text("started", in: object))")
        print("configuration  \(text("configuration", in: object)), generation \(text("generation", in: object))")
        for listener in object["listeners"] as? [[String: Any]] ?? [] {
            print("listener       \(text("name", in: listener)) on \(text("address", in: listener))")
        }
        print("admin          \(text("admin", in: object))")
        for worker in object["workers"] as? [[String: Any]] ?? [] {
            print("worker \(text("index", in: worker))       \(text("state", in: worker)), pid \(text("pid", in: worker)), generation \(text("generation", in: worker))")
        }
        let overview = try gateway.ask("GET", "/v1/overview").object
        for entry in overview["certificates"] as? [[String: Any]] ?? [] {
            let left = entry["seconds_left"] as? Int ?? 0
            print("certificate    \(text("file", in: entry)) (\(text("use", in: entry))) \(left > 0 ? "ends in \(left / 86_400) days, \(left % 86_400 / 3_600) hours" : "has ended")")
        }
        for line in OriginWords.lines(overview["origins"] as? [[String: Any]] ?? []) { print("upstream       \(line)") }
        print("deaths         \(text("worker_deaths", in: object)) of workers, \(text("cordon_deaths", in: object)) of hook processes (\(text("cordons", in: object)) run now)")
        print("crash reports  \(text("crash_reports_written", in: object)) in \(text("crash_reports", in: object))")
        print("upgrades       \(text("upgrades", in: object))\(object["predecessor"] as? String == "draining" ? ", the process before this one finishes its requests" : "")")
        let reload = object["last_reload"] as? [String: Any] ?? [:]
        print("last reload    \(text("result", in: reload)) \(text("at", in: reload)) \(text("message", in: reload))")
        let fenced = object["fenced"] as? [String] ?? []
        print("fenced         \(fenced.isEmpty ? "none" : fenced.joined(separator: ", "))")
        for entry in object["strikes"] as? [[String: Any]] ?? [] {
            let moved = entry["moved"] as? Bool == true ? ", runs in a process of its own" : ""
            print("strikes        \(text("function", in: entry)): \(text("strikes", in: entry)) of workers, \(text("cordon_strikes", in: entry)) of hook processes\(moved)")
        }
    }
}

struct TokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token",
        abstract: "Make a token for the admin address of a running gateway.",
        discussion: "Send it as \"Authorization: Bearer TOKEN\". It lives in the gateway's memory only and ends with it.")

    @OptionGroup var gateway: GatewayOptions

    @Option(help: "What it allows: read, operate or admin.")
    var role = "read"

    @Option(help: "How long it is good, in minutes.")
    var minutes = 720

    @Option(help: "A name for the log.")
    var name = "command"

    @Flag(help: "Print the answer as JSON.")
    var json = false

    func run() throws {
        let escaped = name.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
        let answer = try gateway.ask("POST", "/v1/tokens?role=\(role)&minutes=\(minutes)&name=\(escaped)")
        print(json ? answer.body : "\(answer.object["token"] ?? "")", terminator: json ? "" : "\n")
    }
}
