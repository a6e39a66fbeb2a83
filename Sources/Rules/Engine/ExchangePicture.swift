import HTTP

/// What rules and hooks can change of an exchange, as text.
struct ExchangePicture {
    private var request: [(name: String, value: String)]
    private var response: [(name: String, value: String)]
    private var facts: [(name: String, value: String)]

    init(_ exchange: Exchange, _ upstreams: [String]) {
        request = Self.fields(exchange.request)
        response = Self.fields(exchange.response)
        let head = Self.target(exchange.request)
        facts = [
            ("method", head.method), ("host", head.authority), ("path", head.path), ("query", head.query),
            ("upstream", upstreams.indices.contains(exchange.upstream) ? upstreams[exchange.upstream] : ""),
            ("status", exchange.response.status == 0 ? "" : String(exchange.response.status)),
        ]
        facts += exchange.vars.texts().map { ("vars.\($0.name)", $0.value) }
    }

    private static func fields(_ head: borrowing Head) -> [(name: String, value: String)] {
        var fields: [(name: String, value: String)] = []
        for field in head.fields { fields.append((head.text(field.name).lowercased(), head.text(field.value))) }
        return fields
    }

    private static func target(_ head: borrowing Head) -> (method: String, authority: String, path: String, query: String) {
        (head.text(head.methodName), head.text(head.authority), head.text(head.path), head.hasQuery ? "?" + head.text(head.query) : "")
    }

    /// A line for each difference: `path: /a -> /b`.
    func changes(since old: ExchangePicture) -> [String] {
        Self.changes(old.facts, facts, "") + Self.changes(old.request, request, "request header ")
            + Self.changes(old.response, response, "response header ")
    }

    private static func changes(
        _ old: [(name: String, value: String)], _ new: [(name: String, value: String)], _ prefix: String
    ) -> [String] {
        var names: [String] = []
        for field in old + new where !names.contains(field.name) { names.append(field.name) }
        return names.compactMap { name in
            let before = old.filter { $0.name == name }.map(\.value)
            let after = new.filter { $0.name == name }.map(\.value)
            guard before != after else { return nil }
            return "\(prefix)\(name): \(shown(before)) -> \(shown(after))"
        }
    }

    private static func shown(_ values: [String]) -> String {
        let values = values.filter { !$0.isEmpty }
        return values.isEmpty ? "none" : values.joined(separator: ", ")
    }
}
