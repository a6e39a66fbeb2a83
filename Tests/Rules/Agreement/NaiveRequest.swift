import Buffers
import Foundation
import HTTP
import Rules

/// A request and its response as the naive interpreter knows them: plain values, nothing shared with the engine.
struct NaiveRequest {
    var method = "GET"
    var authority = "a.example"
    var path = "/"
    var query: String?
    /// Names in lower case.
    var headers: [(name: String, value: String)] = []
    var client = "192.0.2.7"
    var status = 200
    var responseHeaders: [(name: String, value: String)] = []
    var variables: [String: String] = [:]
    var upstream = -1

    var exchange: Exchange {
        var sent = Sent(method: method, host: authority, target: path + (query.map { "?" + $0 } ?? ""), headers: headers)
        sent.client = client
        let exchange = sent.exchange()
        exchange.answer(status, responseHeaders)
        return exchange
    }

    /// Lower case, without port and final dot.
    static func host(_ authority: String) -> String {
        var host = authority.lowercased()
        if let colon = host.lastIndex(of: ":") { host = String(host[..<colon]) }
        return host.count > 1 && host.hasSuffix(".") ? String(host.dropLast()) : host
    }

    static func argument(_ name: String, _ query: String?) -> String? {
        guard let query else { return nil }
        for pair in query.split(separator: "&", omittingEmptySubsequences: false) {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map { decode(String($0)) }
            if parts[0] == name { return parts.count > 1 ? parts[1] : "" }
        }
        return nil
    }

    private static func decode(_ text: String) -> String {
        let spaced = text.replacing("+", with: " ")
        return spaced.removingPercentEncoding ?? spaced
    }

    func cookie(_ name: String) -> String? {
        for header in headers where header.name == "cookie" {
            for pair in header.value.split(separator: ";") {
                let parts = pair.drop { $0 == " " }.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                if parts.count == 2, parts[0] == name { return String(parts[1]) }
            }
        }
        return nil
    }

    /// What is to be the same after both have run.
    func outcome(_ matched: [String], _ end: String) -> String {
        let all = headers.map { "\($0.name)=\($0.value)" } + ["|"] + responseHeaders.map { "\($0.name)=\($0.value)" }
        let set = variables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        return "\(matched) \(end) \(upstream) \(authority) \(path) \(query ?? "-") \(status) \(all) \(set)"
    }
}

extension Exchange {
    /// The same for what the engine made of it.
    func outcome(_ matched: [String], _ end: String, variables names: [String]) -> String {
        var request = NaiveRequest()
        request.authority = self.request.text(self.request.authority)
        request.path = path
        request.query = query
        request.headers = self.request.fields.map { (self.request.text($0.name).lowercased(), self.request.text($0.value)) }
        request.status = response.status
        request.responseHeaders = response.fields.map { (response.text($0.name).lowercased(), response.text($0.value)) }
        request.upstream = upstream
        for name in names {
            if let range = vars.value(Array(name.utf8).span) { request.variables[name] = vars.bytes(range).text() }
        }
        return request.outcome(matched, end)
    }
}
