import Buffers

/// Reads `access_log:`.
struct AccessLogReader {
    let reporter: Reporter

    func read(_ object: ParsedObject) -> AccessLog {
        var log = AccessLog()
        log.position = object.position
        if let path = object["path"] { log.destination = destination(path) }
        if let format = format(object) { log.format = format }
        if let share = object["sample"]?.integer { log.sample = share }
        log.headers = (object["headers"]?.list ?? []).compactMap { $0.text?.lowercased() }
        let redact = object["redact"]?.object
        log.hiddenHeaders += (redact?["headers"]?.list ?? []).compactMap { $0.text?.lowercased() }
        log.hiddenParameters = (redact?["query"]?.list ?? []).compactMap(\.text)
        return log
    }

    private func destination(_ parsed: Parsed) -> AccessLog.Destination {
        let text = parsed.text ?? ""
        switch text {
        case "stdout": return .stdout
        case "off": return .off
        case "journal": return .journal
        case "syslog": return .syslog(path: "/dev/log")
        default: break
        }
        if text.hasPrefix("syslog:") {
            let path = String(text.dropFirst("syslog:".count))
            if !path.hasPrefix("/") || path.utf8.count > 107 {
                reporter.report(.text, "`\(text)` names no socket", at: parsed.position, label: "write syslog:/path, of at most 107 bytes")
            }
            return .syslog(path: path)
        }
        if text.hasPrefix("syslog+udp:") {
            let endpoint = String(text.dropFirst("syslog+udp:".count))
            let parts = Names.split(endpoint)
            if parts?.port == nil || IPAddress(parts?.host ?? "") == nil {
                reporter.report(.endpoint, "`\(endpoint)` is not an address", at: parsed.position, label: "for example syslog+udp:127.0.0.1:514")
            }
            return .syslogUDP(endpoint)
        }
        return .file(text)
    }

    private func format(_ object: ParsedObject) -> LogFormat? {
        let template = object["template"]
        switch object["format"]?.text {
        case "json": return only(template, "json") ? .json : nil
        case "combined": return only(template, "combined") ? .combined : nil
        case "template" where template == nil:
            reporter.report(.missingKey, "`format: template` needs the key `template`", at: object.position)
            return nil
        default: return template.flatMap { parse($0) }
        }
    }

    private func only(_ template: Parsed?, _ format: String) -> Bool {
        guard let template else { return true }
        reporter.report(.choice, "a `template` has no effect with `format: \(format)`", at: template.position)
        return false
    }

    private func parse(_ parsed: Parsed) -> LogFormat? {
        do throws(LogTemplate.Problem) {
            return .template(try LogTemplate.parse(parsed.text ?? ""))
        } catch {
            switch error {
            case .unclosed: reporter.report(.templateSyntax, "`${` without `}`", at: parsed.position)
            case .badHeader(let name): reporter.report(.header, "`\(name)` is not a header name", at: parsed.position)
            case .unknown(let name):
                reporter.report(
                    .unknownVariable, "there is no log field `\(name)`; there are \(LogTemplate.known.joined(separator: ", "))",
                    at: parsed.position, wrong: name, known: LogTemplate.known)
            }
            return nil
        }
    }
}
