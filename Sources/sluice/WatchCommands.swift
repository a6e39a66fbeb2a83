import ArgumentParser
import Foundation
import Supervisor

struct TailCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tail",
        abstract: "Show the requests of a running gateway as they end.",
        discussion: "At most 200 a second and worker are shown, also when the access log is off. Ctrl-C ends it.")

    @OptionGroup var gateway: GatewayOptions

    @Option(help: "Only requests of this site.")
    var site: String?

    @Option(help: ArgumentHelp("Only this status, or a class such as 5xx.", valueName: "status"))
    var status: String?

    @Option(help: ArgumentHelp("Only paths that begin with this.", valueName: "path"))
    var path: String?

    @Option(name: [.customShort("n"), .long], help: "End after this many.")
    var count: Int?

    @Flag(help: "Print each as the JSON object of the access log.")
    var json = false

    func run() throws {
        do throws(AdminClientError) {
            let socket = try ControlPath.choose(socket: gateway.socket, configuration: gateway.config)
            var shown = 0
            try AdminClient.lines(socket, "/v1/tail") { line in
                guard let object = (try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? [String: Any], matches(object) else { return }
                print(json ? line : TailCommand.text(object))
                fflush(nil)
                shown += 1
                if let count, shown >= count { Foundation.exit(0) }
            }
        } catch {
            StandardError.print("sluice: error: \(error)")
            throw ExitCode(1)
        }
    }

    private func matches(_ object: [String: Any]) -> Bool {
        if let site, object["site"] as? String != site { return false }
        if let path, !(object["path"] as? String ?? "").hasPrefix(path) { return false }
        guard let status else { return true }
        let actual = String(object["status"] as? Int ?? 0)
        return status.hasSuffix("xx") ? actual.first == status.first : actual == status
    }

    static func text(_ object: [String: Any]) -> String {
        func word(_ key: String) -> String { object[key].map { "\($0)" } ?? "-" }
        let origin = (object["upstream"] as? [String: Any])?["name"] as? String ?? "-"
        let rules = (object["rules"] as? [String] ?? []).joined(separator: ", ")
        let error = ((object["error"] as? [String: Any])?["kind"] as? String).map { "  error \($0)" } ?? ""
        let time = Date(timeIntervalSince1970: (object["time"] as? Double) ?? 0).formatted(.iso8601)
        return "\(time)  \(word("status"))  \(word("duration_ms")) ms  \(word("client"))  \(word("method")) \(word("host"))\(word("path"))"
            + "  -> \(origin)  [\(rules)]\(error)"
    }
}

struct DashboardCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dashboard",
        abstract: "Print a link to the dashboard of a running gateway, with a token that may look at everything for 12 hours.")

    @OptionGroup var gateway: GatewayOptions

    func run() throws {
        let answer = try gateway.ask("POST", "/v1/tokens?role=read&name=dashboard").object
        guard let endpoint = answer["admin"] as? String, !endpoint.isEmpty, let token = answer["token"] else {
            StandardError.print("sluice: error: the gateway has no admin address; set \"admin: {address: \\\"127.0.0.1:9901\\\"}\" or run it with --admin")
            throw ExitCode(1)
        }
        print("\(endpoint)/#token=\(token)")
    }
}

struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Watch a running gateway in the terminal: rates, times and errors by site, upstream and function.",
        discussion: "Ctrl-C ends it. With --count it prints plain text, also where there is no terminal.")

    @OptionGroup var gateway: GatewayOptions

    @Option(help: "Seconds between two looks, 1 to 60.")
    var every = 2

    @Option(name: [.customShort("n"), .long], help: "End after this many looks.")
    var count: Int?

    func validate() throws {
        guard (1...60).contains(every) else { throw ValidationError("--every must be from 1 to 60, not \(every).") }
    }

    func run() throws {
        let first = try gateway.ask("GET", "/v1/overview").object
        var before = first
        var looks = 0
        while count.map({ looks < $0 }) ?? true {
            Thread.sleep(forTimeInterval: Double(every))
            let now = try gateway.ask("GET", "/v1/overview").object
            if count == nil { print("\u{1b}[H\u{1b}[2J", terminator: "") }
            print(TopText(before, now).text)
            fflush(nil)
            before = now
            looks += 1
        }
    }
}

/// One look, as text.
struct TopText {
    private let before: [String: Any]
    private let now: [String: Any]
    private let seconds: Double

    init(_ before: [String: Any], _ now: [String: Any]) {
        self.before = before
        self.now = now
        seconds = max(0.001, (TopText.number(now["now_ms"]) - TopText.number(before["now_ms"])) / 1000)
    }

    private static func number(_ value: Any?) -> Double { (value as? NSNumber)?.doubleValue ?? 0 }

    var text: String {
        let totals = now["totals"] as? [String: Any] ?? [:]
        let old = before["totals"] as? [String: Any] ?? [:]
        func rate(_ key: String) -> Double { (TopText.number(totals[key]) - TopText.number(old[key])) / seconds }
        func value(_ key: String) -> Int { Int(TopText.number(totals[key])) }
        var lines = [
            "sluice \(now["version"] ?? "")  generation \(now["generation"] ?? "")  \(now["phase"] ?? "")",
            "\(TopText.short(rate("requests"))) requests/s  \(value("active")) in flight  \(value("connections")) connections  "
                + "\(value("tunnels")) tunnels  \(TopText.short(rate("bytes_out") / 1024)) KiB/s out",
            "",
        ]
        lines += table("site", "sites", ["2xx", "3xx", "4xx", "5xx", "none"])
        lines += table("upstream", "upstreams", ["2xx", "3xx", "4xx", "5xx", "none"])
        lines += servers()
        lines += table("function", "functions", ["calls", "failures", "policies"])
        return lines.joined(separator: "\n")
    }

    /// How servers stand: all of few, of many those that do not serve.
    private func servers() -> [String] {
        let origins = now["origins"] as? [[String: Any]] ?? []
        let shown = origins.count <= 20 ? origins : origins.filter { $0["up"] as? Bool != true }
        guard !shown.isEmpty else { return [] }
        return [TopText.row(["server", "state", "in flight", "waiting", "conns"])] + shown.map { origin in
            TopText.row([
                "\(origin["upstream"] ?? "") \(origin["server"] ?? "")", OriginWords.state(origin),
                "\(origin["active"] ?? 0)", "\(origin["waiting"] ?? 0)", "\(origin["connections"] ?? 0)",
            ])
        } + [""]
    }

    private func table(_ title: String, _ key: String, _ columns: [String]) -> [String] {
        let entries = now[key] as? [[String: Any]] ?? []
        guard !entries.isEmpty else { return [] }
        let old = Dictionary((before[key] as? [[String: Any]] ?? []).map { ($0["name"] as? String ?? "", $0) }, uniquingKeysWith: { $1 })
        var lines = [TopText.row([title] + columns.map { "\($0)/s" } + ["p50 ms", "p99 ms"])]
        for entry in entries {
            let name = entry["name"] as? String ?? ""
            let earlier = old[name] ?? [:]
            let rates = columns.map { TopText.short((TopText.number(entry[$0]) - TopText.number(earlier[$0])) / seconds) }
            let buckets = TopText.difference(entry, earlier)
            lines.append(TopText.row([name] + rates + [TopText.percentile(0.5, buckets), TopText.percentile(0.99, buckets)]))
        }
        return lines + [""]
    }

    private static func difference(_ entry: [String: Any], _ earlier: [String: Any]) -> [(Double, Double)] {
        func pairs(_ value: Any?) -> [(Double, Double)] {
            (value as? [[NSNumber]] ?? []).compactMap { $0.count == 2 ? ($0[0].doubleValue, $0[1].doubleValue) : nil }
        }
        let old = Dictionary(pairs(earlier["buckets"]), uniquingKeysWith: { $1 })
        return pairs(entry["buckets"]).map { ($0.0, $0.1 - (old[$0.0] ?? 0)) }.filter { $0.1 > 0 }.sorted { $0.0 < $1.0 }
    }

    private static func percentile(_ share: Double, _ buckets: [(Double, Double)]) -> String {
        let total = buckets.reduce(0) { $0 + $1.1 }
        var seen = 0.0
        for (bound, count) in buckets {
            seen += count
            if seen >= total * share { return short(bound / 1000) }
        }
        return "-"
    }

    private static func short(_ value: Double) -> String { String(format: value < 100 ? "%.1f" : "%.0f", value) }

    private static func row(_ cells: [String]) -> String {
        let first = cells[0].count > 28 ? String(cells[0].prefix(27)) + "…" : cells[0]
        return first.padding(toLength: 28, withPad: " ", startingAt: 0)
            + cells.dropFirst().map { String(repeating: " ", count: max(1, 11 - $0.count)) + $0 }.joined()
    }
}
