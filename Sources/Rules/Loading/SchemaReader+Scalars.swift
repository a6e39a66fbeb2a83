import Buffers

/// Single values.
extension SchemaReader {
    func scalar(_ text: String, _ node: YAMLNode, _ type: SchemaType) -> Parsed? {
        switch type {
        case .text(let maximum): return plain(text, node, maximum)
        case .name: return checked(text, node, Names.isName(text), .name, "`\(text)` is not a name")
        case .title: return checked(text, node, Names.isTitle(text), .name, "`\(text)` is not a name")
        case .header:
            if let (code, message) = Names.headerProblem(text) { return refuse(code, message, node) }
            return Parsed(value: .text(text), node: node)
        case .choice(let words):
            guard words.contains(text) else {
                let all = words.map { "`\($0)`" }.joined(separator: ", ")
                reporter.report(.choice, "`\(text)` is not one of \(all)", at: node.position, wrong: text, known: words)
                return nil
            }
            return Parsed(value: .text(text), node: node)
        case .boolean:
            guard text == "true" || text == "false" else { return refuse(.boolean, "expected `true` or `false`, found `\(text)`", node) }
            return Parsed(value: .boolean(text == "true"), node: node)
        case .file(let mustExist): return file(text, node, mustExist)
        case .expression, .template, .string: return Parsed(value: .text(text), node: node)
        case .endpoint: return endpoint(text, node)
        case .server: return server(text, node)
        case .host: return host(text, node)
        default: return number(text, node, type)
        }
    }

    private func number(_ text: String, _ node: YAMLNode, _ type: SchemaType) -> Parsed? {
        switch type {
        case .integer(let range), .status(let range):
            guard let number = Units.integer(text), range.contains(number) else {
                let code: DiagnosticCode = if case .status = type { .status } else { .integer }
                return refuse(code, "expected a number from \(range.lowerBound) to \(range.upperBound), found `\(text)`", node)
            }
            return Parsed(value: .integer(number), node: node)
        case .size:
            guard let bytes = Units.bytes(text) else {
                return refuse(.size, "`\(text)` is not a size", node, Units.integer(text) == nil ? "for example 64KiB" : "add a unit: `\(text)B`, `\(text)KiB`")
            }
            return Parsed(value: .integer(bytes), node: node)
        case .time:
            guard let time = Units.milliseconds(text) else {
                return refuse(.time, "`\(text)` is not a time", node, Units.integer(text) == nil ? "for example 50ms or 2s" : "add a unit: `\(text)ms`, `\(text)s`")
            }
            return Parsed(value: .integer(time), node: node)
        case .rate:
            guard let rate = Units.rate(text) else {
                return refuse(.rate, "`\(text)` is not a rate", node, "for example `100/s`, `5/min` or `20/10s`")
            }
            return Parsed(value: .rate(rate.count, rate.period), node: node)
        case .percent:
            guard text.hasSuffix("%"), let number = Units.integer(String(text.dropLast())), number <= 100 else {
                return refuse(.integer, "`\(text)` is not a share", node, "for example 20%")
            }
            return Parsed(value: .integer(number), node: node)
        default: return nil
        }
    }

    private func refuse(_ code: DiagnosticCode, _ message: String, _ node: YAMLNode, _ label: String = "") -> Parsed? {
        reporter.report(code, message, at: node.position, label: label)
        return nil
    }

    private func checked(_ text: String, _ node: YAMLNode, _ good: Bool, _ code: DiagnosticCode, _ message: String) -> Parsed? {
        good ? Parsed(value: .text(text), node: node) : refuse(code, message, node)
    }

    private func plain(_ text: String, _ node: YAMLNode, _ maximum: Int) -> Parsed? {
        if text.isEmpty { return refuse(.text, "the value is empty", node) }
        if text.utf8.count > maximum { return refuse(.text, "the value is longer than \(maximum) bytes", node) }
        if text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) { return refuse(.text, "the value has control characters", node) }
        return Parsed(value: .text(text), node: node)
    }

    private func file(_ text: String, _ node: YAMLNode, _ mustExist: Bool) -> Parsed? {
        guard let parsed = plain(text, node, 4096), let name = parsed.text else { return nil }
        let path = Paths.join(directory, name)
        if mustExist, !provider.exists(path) {
            return refuse(.fileMissing, "the file `\(path)` does not exist or cannot be read", node, "paths are relative to this file")
        }
        return Parsed(value: .text(path), node: node)
    }

    // MARK: Addresses

    private func endpoint(_ text: String, _ node: YAMLNode) -> Parsed? {
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst(5))
            guard !path.isEmpty, path.utf8.count < 108 else {
                return refuse(.endpoint, "a socket path has 1 to 107 bytes", node)
            }
            return Parsed(value: .endpoint(.unix(path: Paths.join(directory, path))), node: node)
        }
        guard let (host, port) = Names.split(text), let port, !host.isEmpty else {
            return refuse(.endpoint, "`\(text)` is not an address", node, "for example `0.0.0.0:443` or `[::]:443`")
        }
        let numeric = host == "localhost" ? "127.0.0.1" : host
        guard IPAddress(numeric) != nil else {
            return refuse(.endpoint, "`\(host)` is not a numeric address", node, "listeners need a number: `0.0.0.0` is every address")
        }
        return Parsed(value: .endpoint(.tcp(host: numeric, port: port)), node: node)
    }

    private func server(_ text: String, _ node: YAMLNode) -> Parsed? {
        if text.hasPrefix("unix:") {
            let path = Paths.join(directory, String(text.dropFirst(5)))
            guard text.utf8.count > 5, path.utf8.count < 108 else { return refuse(.url, "a socket path has 1 to 107 bytes", node) }
            var server = Server(secure: false, host: "localhost", port: 0, position: node.position)
            server.path = path
            return Parsed(value: .server(server), node: node)
        }
        let isService = text.hasPrefix("srv+")
        let text = isService ? String(text.dropFirst(4)) : text
        let secure = text.hasPrefix("https://")
        let http2 = text.hasPrefix("h2c://")
        guard secure || http2 || text.hasPrefix("http://") else {
            return refuse(.url, "`\(text)` is not a server", node, "write `http://host:port` or `https://host:port`")
        }
        var rest = text.dropFirst(secure ? 8 : http2 ? 6 : 7)
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        if rest.contains(where: { "/?#@".contains($0) }) {
            return refuse(.url, "a server has no path, query or user", node, "use `rewrite` to change paths")
        }
        if isService, !rest.contains(":"), Names.isHost(String(rest).replacing("_", with: "x")) {
            var server = Server(secure: secure, host: String(rest), port: 0, position: node.position)
            server.http2 = http2
            server.isService = true
            return Parsed(value: .server(server), node: node)
        }
        guard !isService, let (host, port) = Names.split(String(rest)), IPAddress(host) != nil || Names.isHost(host) else {
            return refuse(.url, "`\(text)` has no valid host", node)
        }
        guard port != 0 else { return refuse(.url, "no server listens on port 0", node) }
        var server = Server(secure: secure, host: host, port: port ?? (secure ? 443 : 80), position: node.position)
        server.http2 = http2
        return Parsed(value: .server(server), node: node)
    }

    private func host(_ text: String, _ node: YAMLNode) -> Parsed? {
        let name = text.lowercased()
        if name == "*" { return Parsed(value: .host(.any), node: node) }
        let isWildcard = name.hasPrefix("*.")
        let rest = isWildcard ? String(name.dropFirst(2)) : name
        let literal = rest.hasPrefix("[") && rest.hasSuffix("]") && IPAddress(String(rest.dropFirst().dropLast())) != nil
        guard Names.isHost(rest) || literal && !isWildcard else {
            let label = rest.contains(":") ? "write it without port and scheme" : rest.contains("*") ? "`*` stands only at the beginning: `*.example.com`" : ""
            return refuse(.host, "`\(text)` is not a host", node, label)
        }
        return Parsed(value: .host(isWildcard ? .wildcard(rest) : .exact(rest)), node: node)
    }
}
