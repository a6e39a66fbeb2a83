/// Turns an Azion configuration (`azion.config.json`, version 3 and 4 of its library) into a rule file.
///
/// Names stay, order stays. What has no counterpart is left out and listed, so that nobody believes it was taken over.
public struct AzionImport {
    /// The rule file.
    public private(set) var yaml = ""
    /// What could not be converted, a line each, with its place in the Azion configuration.
    public private(set) var omissions: [String] = []
    private var upstreams: [String] = []
    private var functions: Set<String> = []
    private var lists: Set<String> = []

    /// nil: the text is not a JSON object.
    public init?(_ text: String) {
        guard let root = JSON(text), case .object = root else { return nil }
        var out = "# Converted from an Azion configuration by `sluice import azion`. Look at it before you serve it.\nsluice: 1\n"
        out += "\nlisteners:\n  - {name: web, address: \"127.0.0.1:8080\"}\n"
        out += networkLists(root)
        out += origins(root)
        out += functionTable(root)
        out += sites(root)
        for section in ["storage", "purge", "waf", "customPages", "cache", "kv", "build"] where root[section] != nil {
            omit(section, "has no counterpart")
        }
        yaml = out
    }

    mutating func omit(_ place: String, _ why: String) { omissions.append("\(place): \(why)") }

    // MARK: Lists, origins, functions

    private mutating func networkLists(_ root: JSON) -> String {
        var out = ""
        for list in root["networkList"]?.array ?? [] {
            let name = Self.name(list["name"]?.text ?? list["id"]?.text ?? "list")
            let type = list["type"]?.text ?? list["listType"]?.text ?? ""
            let items = (list["items"]?.array ?? list["listContent"]?.array ?? []).compactMap(\.text)
            guard type == "ip_cidr", !items.isEmpty else {
                omit("networkList \(name)", "lists of \(type.isEmpty ? "nothing" : type) cannot be tested here")
                continue
            }
            lists.insert(name)
            out += "  \(name): [\(items.map { JSON.quoted($0) }.joined(separator: ", "))]\n"
        }
        return out.isEmpty ? "" : "\nlists:\n" + out
    }

    private mutating func origins(_ root: JSON) -> String {
        var out = ""
        for origin in (root["connectors"]?.array ?? root["edgeConnectors"]?.array ?? []) + (root["origin"]?.array ?? []) {
            let name = Self.name(origin["name"]?.text ?? "origin")
            let attributes = origin["attributes"] ?? origin
            let servers = Self.servers(attributes, policy: attributes["connectionOptions"]?["transportPolicy"]?.text ?? origin["protocolPolicy"]?.text)
            guard !servers.isEmpty else {
                omit("connector \(name)", "type \(origin["type"]?.text ?? "unknown") is no HTTP server")
                continue
            }
            upstreams.append(name)
            out += "  \(name): {servers: [\(servers.map { JSON.quoted($0) }.joined(separator: ", "))]}\n"
            note(attributes, of: name)
        }
        return out.isEmpty ? "" : "\nupstreams:\n" + out
    }

    private static func servers(_ attributes: JSON, policy: String?) -> [String] {
        (attributes["addresses"]?.array ?? []).compactMap { address in
            guard let host = address["address"]?.text ?? address.text, address["active"]?.text != "false" else { return nil }
            let secure = policy?.contains("https") == true
            let port = secure ? address["httpsPort"]?.text ?? "443" : address["httpPort"]?.text ?? "80"
            return "\(secure ? "https" : "http")://\(host.contains(":") && !host.contains(".") ? "[\(host)]" : host)" + (host.contains(".") && host.contains(":") ? "" : ":\(port)")
        }
    }

    private mutating func note(_ attributes: JSON, of name: String) {
        let options = attributes["connectionOptions"] ?? attributes
        if let prefix = options["pathPrefix"]?.text ?? attributes["path"]?.text, !prefix.isEmpty, prefix != "/" {
            omit("connector \(name)", "pathPrefix \(prefix): use `rewrite` in the rules that route to it")
        }
        if let host = options["host"]?.text ?? attributes["hostHeader"]?.text, host != "${host}" {
            omit("connector \(name)", "host \(host): use `set_header: {Host: ...}` in the rules that route to it")
        }
        for module in ["loadBalancer", "originShield"] where attributes["modules"]?[module]?["enabled"]?.text == "true" {
            omit("connector \(name)", "\(module) is not taken over")
        }
    }

    private mutating func functionTable(_ root: JSON) -> String {
        var out = ""
        for function in root["functions"]?.array ?? [] {
            let name = Self.name(function["name"]?.text ?? "function")
            guard let path = function["path"]?.text else {
                omit("function \(name)", "names no file")
                continue
            }
            functions.insert(name)
            out += "  \(name): {file: \(JSON.quoted(path.hasPrefix("./") ? String(path.dropFirst(2)) : path))}\n"
            if function["bindings"]?.members.isEmpty == false { omit("function \(name)", "bindings have no counterpart") }
        }
        return out.isEmpty ? "" : "\nfunctions:\n" + out
    }

    // MARK: Sites

    private mutating func sites(_ root: JSON) -> String {
        var out = "\nsites:\n"
        let applications = root["applications"]?.array ?? root["edgeApplications"]?.array ?? []
        let all = applications.isEmpty ? [root] : applications
        let hosts = hosts(root, applications: all.count)
        for (number, application) in all.enumerated() {
            let name = application["name"]?.text ?? "site"
            out += "  - name: \(JSON.quoted(name))\n    hosts: [\(hosts[number].map { JSON.quoted($0) }.joined(separator: ", "))]\n"
            if let first = upstreams.first { out += "    upstream: \(first)\n" }
            var rules = AzionRules(application, upstreams: Set(upstreams), functions: functions, lists: lists)
            out += rules.phase("request", firewall: number == 0 ? root["firewall"]?.array ?? [] : [])
            out += rules.phase("response", firewall: [])
            omissions += rules.omissions
            for section in ["cache", "deviceGroups"] where application[section]?.array.isEmpty == false {
                omit("application \(name)", "\(section) has no counterpart")
            }
        }
        return out
    }

    /// The domains of the workload; which application serves which is not in the file when there are several.
    private mutating func hosts(_ root: JSON, applications: Int) -> [[String]] {
        var domains = (root["workloads"]?.array ?? []).flatMap { ($0["domains"]?.array ?? []).compactMap(\.text) }
        domains += (root["domain"]?["cnames"]?.array ?? []).compactMap(\.text)
        let known = domains.isEmpty ? ["*"] : domains
        guard applications > 1 else { return [known] }
        omit("workloads", "which application serves which domain: correct `hosts` by hand")
        return [known] + (1..<applications).map { ["application-\($0 + 1).example"] }
    }

    /// Letters, digits and a few signs: what names are here.
    static func name(_ text: String) -> String {
        let safe = String(text.map { $0.isASCII && ($0.isLetter || $0.isNumber || "_-.".contains($0)) ? $0 : "-" }.prefix(64))
        return safe.isEmpty ? "unnamed" : safe
    }
}
