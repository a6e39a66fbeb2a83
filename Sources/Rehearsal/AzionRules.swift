/// The rules engine of one Azion application: criteria become `when`, behaviors become `do`.
struct AzionRules {
    private let application: JSON
    private let upstreams: Set<String>
    private let functions: Set<String>
    private let lists: Set<String>
    private(set) var omissions: [String] = []
    /// The regular expression whose groups `%{name[1]}` refers to, of the rule being converted.
    private var captured: (array: String, groups: Int)?

    init(_ application: JSON, upstreams: Set<String>, functions: Set<String>, lists: Set<String>) {
        self.application = application
        self.upstreams = upstreams
        self.functions = functions
        self.lists = lists
    }

    /// `request:` or `response:` with its rules; those of firewalls come first.
    mutating func phase(_ phase: String, firewall: [JSON]) -> String {
        var out = ""
        for wall in firewall {
            for rule in wall["rules"]?.array ?? [] { out += self.rule(rule, "request", place: "firewall \(wall["name"]?.text ?? "")") }
        }
        let rules = application["rules"]?[phase]?.array ?? (application["rules"]?.array ?? []).filter { $0["phase"]?.text == phase }
        for rule in rules { out += self.rule(rule, phase, place: "\(phase) rule") }
        return out.isEmpty ? "" : "    \(phase):\n" + out
    }

    private mutating func rule(_ rule: JSON, _ phase: String, place kind: String) -> String {
        let name = rule["name"]?.text ?? "unnamed"
        let place = "\(kind) \"\(name)\""
        guard rule["active"]?.text != "false" else {
            omissions.append("\(place): is not active")
            return ""
        }
        captured = nil
        let behaviors = rule["behaviors"]?.array ?? Self.oldBehaviors(rule)
        if let capture = behaviors.first(where: { Self.type($0) == "capture_match_groups" }) { note(capture) }
        guard let condition = condition(rule, capture: behaviors.first { Self.type($0) == "capture_match_groups" }, place) else {
            omissions.append("\(place): left out, because its criteria cannot be expressed")
            return ""
        }
        var actions: [String] = []
        for behavior in behaviors { actions += action(behavior, phase, place) }
        guard !actions.isEmpty else {
            omissions.append("\(place): left out, nothing of what it does could be converted")
            return ""
        }
        var out = "      - name: \(JSON.quoted(name.replacing("/", with: "-")))\n"
        if !condition.isEmpty { out += "        when: >-\n          \(condition)\n" }
        return out + "        do:\n" + actions.map { "          - \($0)\n" }.joined()
    }

    private static func type(_ behavior: JSON) -> String { behavior["type"]?.text ?? behavior["name"]?.text ?? "" }

    /// Version 3: `{match, setOrigin: {...}, runFunction: {...}}` in the place of lists.
    private static func oldBehaviors(_ rule: JSON) -> [JSON] {
        let known = ["setOrigin": "set_origin", "setConnector": "set_connector", "runFunction": "run_function", "rewrite": "rewrite_request",
                     "redirectTo301": "redirect_to_301", "redirectTo302": "redirect_to_302", "setHeaders": "add_request_header",
                     "deliver": "deliver", "deny": "deny", "noContent": "no_content", "enableGZIP": "enable_gzip", "httpToHttps": "redirect_http_to_https"]
        let holder = rule["behavior"] ?? rule
        return holder.members.flatMap { member -> [JSON] in
            guard let type = known[member.name], member.value.text != "false" else { return [] }
            let values = member.value.array.isEmpty ? [member.value["name"] ?? member.value["set"] ?? member.value["path"] ?? member.value] : member.value.array
            return values.map { .object([("type", .string(type)), ("attributes", .object([("value", $0)]))]) }
        }
    }

    // MARK: Criteria

    private mutating func condition(_ rule: JSON, capture: JSON?, _ place: String) -> String? {
        var parts: [String] = []
        let criteria = rule["criteria"]?.array ?? []
        let groups = criteria.isEmpty || criteria[0].array.isEmpty ? (criteria.isEmpty ? [] : [criteria]) : criteria.map(\.array)
        for group in groups {
            guard let text = self.group(group, place) else { return nil }
            parts.append(groups.count > 1 ? "(\(text))" : text)
        }
        if let match = rule["match"]?.text { parts.append("path matches \(JSON.quoted(match))") }
        var whole = parts.joined(separator: " or ")
        if let capture, let regex = capture["attributes"]?["regex"]?.text,
            let field = Self.field(capture["attributes"]?["subject"]?.text ?? "${uri}") {
            whole = (whole.isEmpty ? "" : "(\(whole)) and ") + "\(field) matches \(JSON.quoted(Self.named(regex)))"
        }
        return whole
    }

    private mutating func group(_ criteria: [JSON], _ place: String) -> String? {
        var text = ""
        for (number, one) in criteria.enumerated() {
            guard let test = test(one) else {
                omissions.append("\(place): the criterion \(one["variable"]?.text ?? "?") \(one["operator"]?.text ?? "?") has no counterpart")
                return nil
            }
            // Azion binds from left to right here: parentheses say so.
            let word = one["conditional"]?.text == "or" ? "or" : "and"
            text = number == 0 ? test : number == 1 ? "\(text) \(word) \(test)" : "(\(text)) \(word) \(test)"
        }
        return text.isEmpty ? nil : text
    }

    private func test(_ criterion: JSON) -> String? {
        let argument = criterion["argument"]?.text ?? criterion["inputValue"]?.text ?? ""
        let operation = criterion["operator"]?.text ?? ""
        let variable = criterion["variable"]?.text ?? ""
        if operation == "is_in_list" || operation == "is_not_in_list" {
            let list = AzionImport.name(argument)
            guard lists.contains(list), ["network", "${network}", "${remote_addr}"].contains(variable) else { return nil }
            return "\(operation == "is_not_in_list" ? "not " : "")client.ip in $\(list)"
        }
        guard let field = Self.field(variable) else { return nil }
        let isNumber = field == "status" || field == "origin.status"
        let value = isNumber ? argument : JSON.quoted(argument)
        if isNumber, Int(argument) == nil, !operation.hasPrefix("exists"), !operation.hasPrefix("does_not_exist") { return nil }
        switch operation {
        case "is_equal": return "\(field) == \(value)"
        case "is_not_equal": return "\(field) != \(value)"
        case "starts_with": return "\(field) starts_with \(value)"
        case "does_not_start_with": return "not \(field) starts_with \(value)"
        case "matches": return "\(field) matches \(value)"
        case "does_not_match": return "not \(field) matches \(value)"
        case "exists": return "exists(\(field))"
        case "does_not_exist": return "not exists(\(field))"
        default: return nil
        }
    }

    private static let fields: [String: String] = [
        "uri": "path", "request_uri": "original.uri", "args": "query", "host": "host", "scheme": "scheme", "request_method": "method",
        "remote_addr": "client.ip", "remote_port": "client.port", "status": "status", "upstream_status": "origin.status",
        "ssl_client_s_dn": "tls.client.subject", "domain": "host", "header_user_agent": "header.user-agent", "hostname": "host",
        "server_protocol": "http_version", "upstream_addr": "origin.address", "ssl_cipher": "tls.cipher", "ssl_protocol": "tls.version",
    ]
    private static let families: [(prefix: String, field: String)] = [
        ("arg_", "arg."), ("cookie_", "cookie."), ("sent_http_", "response.header."), ("upstream_http_", "origin.header."), ("http_", "header."),
    ]

    static func field(_ variable: String) -> String? {
        let name = variable.hasPrefix("${") && variable.hasSuffix("}") ? String(variable.dropFirst(2).dropLast()) : variable
        if let field = fields[name] { return field }
        for family in families where name.hasPrefix(family.prefix) && name.count > family.prefix.count {
            let rest = String(name.dropFirst(family.prefix.count))
            return family.field + (family.field.contains("header") ? rest.replacing("_", with: "-") : rest)
        }
        return nil
    }

    // MARK: Captures

    private mutating func note(_ behavior: JSON) {
        captured = (behavior["attributes"]?["captured_array"]?.text ?? "captured", 0)
    }

    /// Groups get names, because only those can be used in values: `(a)(b)` becomes `(?<g1>a)(?<g2>b)`.
    static func named(_ regex: String) -> String {
        var out = ""
        var number = 0
        var escaped = false
        var inClass = false
        let characters = Array(regex)
        for (index, character) in characters.enumerated() {
            out.append(character)
            if escaped {
                escaped = false
            } else if character == "\\" {
                escaped = true
            } else if character == "[" {
                inClass = true
            } else if character == "]" {
                inClass = false
            } else if character == "(", !inClass, index + 1 == characters.count || characters[index + 1] != "?" {
                number += 1
                out += "?<g\(number)>"
            }
        }
        return out
    }

    /// `%{captured[1]}` and `${captured[1]}` become `${match.g1}`.
    private func value(_ text: String) -> String {
        guard let captured else { return text }
        var out = text
        for number in 0...9 {
            for mark in ["%", "$"] { out = out.replacing("\(mark){\(captured.array)[\(number)]}", with: "${match.g\(number)}") }
        }
        return out
    }

    // MARK: Behaviors

    private mutating func action(_ behavior: JSON, _ phase: String, _ place: String) -> [String] {
        let type = Self.type(behavior)
        let text = value(behavior["attributes"]?["value"]?.text ?? behavior["target"]?.text ?? "")
        if let action = Self.simple(type, text) ?? header(type, text, phase) ?? reference(type, text) ?? response(type, behavior) { return [action] }
        switch type {
        case "capture_match_groups": return []
        case "redirect_http_to_https": return ["redirect: {to: \"https://${host}${request_uri}\", status: 301}"]
        case "set_rate_limit": return limit(behavior, place)
        default:
            omissions.append("\(place): \(type.isEmpty ? "a behavior without a type" : type)\(text.isEmpty ? "" : " \(text)") has no counterpart")
            return []
        }
    }

    private static func simple(_ type: String, _ text: String) -> String? {
        switch type {
        case "deliver", "finish_request_phase": "stop"
        case "deny": "deny: {status: 403}"
        case "drop": "drop"
        case "no_content": "respond: {status: 204}"
        case "redirect_to_301": "redirect: {to: \(JSON.quoted(text)), status: 301}"
        case "redirect_to_302": "redirect: {to: \(JSON.quoted(text)), status: 302}"
        case "rewrite_request": "rewrite: {path: \(JSON.quoted(text))}"
        default: nil
        }
    }

    private func header(_ type: String, _ text: String, _ phase: String) -> String? {
        let parts = text.split(separator: ":", maxSplits: 1).map { String($0) }
        let isOfPhase = type.contains("_\(phase)_")
        switch type {
        case "add_request_header", "add_response_header":
            guard isOfPhase, parts.count == 2 else { return nil }
            return "add_header: {\(JSON.quoted(parts[0])): \(JSON.quoted(String(parts[1].drop { $0 == " " })))}"
        case "filter_request_header", "filter_response_header": return isOfPhase ? "remove_header: \(JSON.quoted(text))" : nil
        case "filter_request_cookie", "filter_response_cookie": return isOfPhase ? "remove_cookie: \(JSON.quoted(text))" : nil
        default: return nil
        }
    }

    private func reference(_ type: String, _ text: String) -> String? {
        let name = AzionImport.name(text)
        switch type {
        case "set_origin", "set_connector": return upstreams.contains(name) ? "route: \(name)" : nil
        case "run_function": return run(text)
        default: return nil
        }
    }

    /// Functions are named themselves or by an instance, which brings arguments.
    private func run(_ text: String) -> String? {
        let instances = application["functionsInstances"]?.array ?? []
        let instance = instances.first { $0["name"]?.text == text }
        let name = AzionImport.name(instance?["ref"]?.text ?? text)
        guard functions.contains(name) else { return nil }
        guard let args = instance?["args"], !args.members.isEmpty else { return "run: \(name)" }
        return "run: {function: \(name), args: \(args.compact)}"
    }

    private func response(_ type: String, _ behavior: JSON) -> String? {
        guard type == "set_custom_response", let attributes = behavior["attributes"] else { return nil }
        let status = attributes["statusCode"]?.text ?? "200"
        let kind = attributes["contentType"]?.text ?? "text/plain"
        let body = (attributes["contentBody"]?.text ?? "").replacing("${", with: "$${")
        return "respond: {status: \(status), headers: {Content-Type: \(JSON.quoted(kind))}, body: \(JSON.quoted(body))}"
    }

    private mutating func limit(_ behavior: JSON, _ place: String) -> [String] {
        let attributes = behavior["attributes"]
        guard let rate = attributes?["averageRateLimit"]?.text.flatMap({ Int($0) }), rate > 0 else {
            omissions.append("\(place): set_rate_limit without a rate")
            return []
        }
        let period = attributes?["type"]?.text == "minute" ? "min" : "s"
        let key = attributes?["limitBy"]?.text == "client_ip" ? "[client.ip]" : "[]"
        let burst = attributes?["maximumBurstSize"]?.text.flatMap { Int($0) }.map { $0 > 0 ? ", burst: \($0)" : "" } ?? ""
        return ["rate_limit: {key: \(key), rate: \(rate)/\(period)\(burst)}"]
    }
}
