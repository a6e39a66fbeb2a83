/// What tests expect, with the place of each expectation.
extension TestBuilder {
    func expectations(_ object: ParsedObject) -> [Expectation] {
        var found: [Expectation] = []
        func add(_ key: String, _ at: Parsed, _ check: Expectation.Check) {
            found.append(Expectation(check: check, key: key, position: at.position))
        }
        if let status = object["status"], let number = status.integer { add("status", status, .status(number)) }
        if let closed = object["closed"], let flag = closed.boolean { add("closed", closed, .closed(flag)) }
        found += message(object, .answer, prefix: "")
        if let rules = object["rules"] { add("rules", rules, .rules(rules.list.map(check(rule:)))) }
        if let rules = object["only_rules"] { add("only_rules", rules, .onlyRules(rules.list.map(check(rule:)))) }
        for rule in object["not_rules"]?.list ?? [] { add("not_rules", rule, .notRule(check(rule: rule))) }
        if let site = object["site"], let name = site.text { add("site", site, .site(name)) }
        if let upstream = object["upstream"] { add("upstream", upstream, .upstream(check(upstream: upstream))) }
        if let called = object["origin_called"], let flag = called.boolean { add("origin_called", called, .originCalled(flag)) }
        for entry in object["calls"]?.named ?? [] {
            add("calls.\(entry.key.text ?? "")", entry.value, .calls(upstream: check(upstream: entry.key), entry.value.integer ?? 0))
        }
        if let request = object["request"]?.object { found += originRequest(request) }
        for entry in object["hooks"]?.named ?? [] {
            let name = check(function: entry.key)
            add("hooks.\(name)", entry.value, .hook(name, outcome: entry.value.text ?? ""))
        }
        if let error = object["error"], let word = error.text { add("error", error, .error(word)) }
        for (entry, at) in entries(object["kv"]) { add("kv.\(entry.namespace).\(entry.key)", at, .entry(entry)) }
        for text in object["log_contains"]?.list ?? [] { add("log_contains", text, .log(text.text ?? "")) }
        return found
    }

    private func originRequest(_ object: ParsedObject) -> [Expectation] {
        var found: [Expectation] = []
        let parts: [(String, (String) -> Expectation.Check)] = [
            ("method", { .method($0) }), ("uri", { .uri($0) }), ("path", { .path($0) }), ("query", { .query($0) }),
        ]
        for (key, make) in parts {
            guard let value = object[key], let text = value.text else { continue }
            found.append(Expectation(check: make(text), key: "request.\(key)", position: value.position))
        }
        return found + message(object, .originRequest, prefix: "request.")
    }

    private func message(_ object: ParsedObject, _ side: Expectation.Side, prefix: String) -> [Expectation] {
        var found: [Expectation] = []
        func add(_ key: String, _ at: Parsed, _ check: Expectation.Check) {
            found.append(Expectation(check: check, key: prefix + key, position: at.position))
        }
        for entry in object["headers"]?.named ?? [] {
            let name = entry.key.text ?? ""
            add("headers.\(name)", entry.value, .header(side, name, .equals(entry.value.text ?? "")))
        }
        for entry in object["headers_match"]?.named ?? [] {
            let name = entry.key.text ?? ""
            add("headers_match.\(name)", entry.value, .header(side, name, .matches(check(pattern: entry.value))))
        }
        for name in object["headers_present"]?.list ?? [] { add("headers_present", name, .header(side, name.text ?? "", .present)) }
        for name in object["headers_absent"]?.list ?? [] { add("headers_absent", name, .header(side, name.text ?? "", .absent)) }
        if let body = object["body"] { add("body", body, .body(side, .equals(body.text ?? ""))) }
        for text in object["body_contains"]?.list ?? [] { add("body_contains", text, .body(side, .contains(text.text ?? ""))) }
        for text in object["not_body_contains"]?.list ?? [] { add("not_body_contains", text, .body(side, .lacks(text.text ?? ""))) }
        if let pattern = object["body_matches"] { add("body_matches", pattern, .body(side, .matches(check(pattern: pattern)))) }
        for (key, partial) in [("json", false), ("json_contains", true)] {
            guard let value = object[key] else { continue }
            add(key, value, .json(side, String(decoding: JSONValue.text(value.node), as: UTF8.self), partial: partial))
        }
        return found
    }
}
