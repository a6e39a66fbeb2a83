import Rehearsal
import Rules
import Testing

/// What `sluice import azion` makes loads and does what Azion's rules did.
@Suite struct ImportTests {
    static let azion = """
        {"functions": [{"name": "my--function", "path": "./functions/index.js", "bindings": {"storage": {"bucket": "b"}}}],
         "connectors": [
           {"name": "api", "type": "http", "attributes": {"addresses": [{"address": "api.example.com", "httpPort": 80, "httpsPort": 8443}],
            "connectionOptions": {"transportPolicy": "preserve", "host": "${host}", "pathPrefix": ""}}},
           {"name": "secure", "type": "http", "attributes": {"addresses": [{"address": "10.0.0.1", "httpsPort": 8443}],
            "connectionOptions": {"transportPolicy": "force_https", "host": "inner.example.com"}}},
           {"name": "bucket", "type": "edge_storage", "attributes": {"bucket": "b"}}],
         "networkList": [{"name": "allowlist", "type": "ip_cidr", "items": ["198.51.100.0/24"]}, {"name": "lands", "type": "countries", "items": ["BR"]}],
         "applications": [{"name": "my app",
           "functionsInstances": [{"name": "auth", "ref": "my--function", "args": {"level": 3}}],
           "deviceGroups": [{"name": "mobile", "userAgent": "x"}],
           "rules": {"request": [
             {"name": "rewrite", "active": true, "criteria": [[{"variable": "${uri}", "conditional": "if", "operator": "matches", "argument": "^/rewrite/"}]],
              "behaviors": [{"type": "capture_match_groups", "attributes": {"regex": "^/rewrite/([a-z]+)$", "subject": "${uri}", "captured_array": "captured"}},
                {"type": "rewrite_request", "attributes": {"value": "/new/%{captured[1]}"}}, {"type": "set_cache_policy", "attributes": {"value": "c"}}]},
             {"name": "both", "criteria": [[{"variable": "${uri}", "conditional": "if", "operator": "starts_with", "argument": "/api/"},
                {"variable": "${http_x_key}", "conditional": "and", "operator": "does_not_exist"}],
                [{"variable": "${host}", "conditional": "if", "operator": "is_equal", "argument": "m.example.com"}]],
              "behaviors": [{"type": "deny"}]},
             {"name": "connector", "criteria": [[{"variable": "${uri}", "conditional": "if", "operator": "starts_with", "argument": "/s/"}]],
              "behaviors": [{"type": "set_connector", "attributes": {"value": "secure"}}, {"type": "add_request_header", "attributes": {"value": "X-From: ${remote_addr}"}},
                {"type": "run_function", "attributes": {"value": "auth"}}, {"type": "deliver"}]},
             {"name": "mobile", "criteria": [[{"variable": "${device_group}", "conditional": "if", "operator": "is_equal", "argument": "m"}]], "behaviors": [{"type": "deny"}]},
             {"name": "off", "active": false, "criteria": [], "behaviors": [{"type": "deny"}]}],
            "response": [
             {"name": "secure it", "criteria": [[{"variable": "${status}", "conditional": "if", "operator": "is_equal", "argument": "200"}]],
              "behaviors": [{"type": "add_response_header", "attributes": {"value": "X-Frame-Options: DENY"}}, {"type": "filter_response_cookie", "attributes": {"value": "internal"}}]}]}}],
         "firewall": [{"name": "wall", "rules": [
           {"name": "net", "criteria": [{"variable": "network", "conditional": "if", "operator": "is_in_list", "argument": "allowlist"},
             {"variable": "${uri}", "conditional": "and", "operator": "is_equal", "argument": "/blocked"}], "behaviors": [{"type": "drop"}]},
           {"name": "rate", "criteria": [{"variable": "request_uri", "conditional": "if", "operator": "matches", "argument": "^/login"}],
            "behaviors": [{"type": "set_rate_limit", "attributes": {"type": "minute", "averageRateLimit": "1", "limitBy": "client_ip"}}]}]}],
         "workloads": [{"name": "w", "domains": ["example.com", "m.example.com"]}], "purge": []}
        """

    static let tests = """

        tests:
          - name: captures
            send: {url: "http://example.com/rewrite/abc"}
            expect: {request: {path: /new/abc}, upstream: api}
          - name: groups
            send: {url: "http://example.com/api/x"}
            expect: {status: 403}
          - name: with a key
            send: {url: "http://example.com/api/x", headers: {X-Key: k}}
            expect: {status: 200, headers: {X-Frame-Options: DENY}}
          - name: the other group
            send: {url: "http://m.example.com/", headers: {X-Key: k}}
            expect: {status: 403}
          - name: connector, header, function with arguments
            send: {url: "http://example.com/s/1"}
            origin: {headers: {Set-Cookie: [internal=1, other=2]}}
            expect: {upstream: secure, request: {headers: {X-From: 198.51.100.1, X-Level: "3"}}, headers: {Set-Cookie: other=2}}
          - name: firewall
            send: {url: "http://example.com/blocked"}
            expect: {closed: true}
          - name: rate limit
            steps:
              - send: {url: "http://example.com/login"}
                expect: {status: 200}
              - send: {url: "http://example.com/login"}
                expect: {status: 429}
        """

    @Test func `rules, origins, functions and lists are taken over and behave`() throws {
        let converted = try #require(AzionImport(Self.azion))
        let hook = "export default { onRequest(request, env, ctx) { request.headers.set('x-level', String(ctx.args.level)); } };"
        let run = play(converted.yaml + Self.tests, ["functions/index.js": hook])
        #expect(run.problem == nil && run.failed == 0 && run.outcomes.count == 7, "\(converted.yaml)\n\(run.complaints)")
        #expect(run.unmatched.isEmpty)
    }

    @Test func `what has no counterpart is listed`() throws {
        let omissions = try #require(AzionImport(Self.azion)).omissions
        for part in [
            "connector bucket: type edge_storage", "connector secure: host inner.example.com", "function my--function: bindings",
            "networkList lands: lists of countries", "request rule \"rewrite\": set_cache_policy c", "request rule \"mobile\": the criterion ${device_group}",
            "request rule \"off\": is not active", "deviceGroups", "purge",
        ] {
            #expect(omissions.contains { $0.contains(part) }, "\(part)\n\(omissions.joined(separator: "\n"))")
        }
    }

    @Test func `a configuration of the older library is read too`() throws {
        let old = """
            {"origin": [{"name": "main", "type": "single_origin", "addresses": ["origin.example.com"]}],
             "domain": {"name": "d", "cnames": ["old.example.com"]},
             "rules": {"request": [{"name": "Main_Rule", "match": "^\\\\/a", "setOrigin": {"name": "main", "type": "single_origin"}}]}}
            """
        let converted = try #require(AzionImport(old))
        let run = play(converted.yaml + "\ntests:\n  - name: t\n    send: {url: \"http://old.example.com/a\"}\n    expect: {upstream: main, rules: [site/Main_Rule]}\n")
        #expect(run.problem == nil && run.failed == 0, "\(converted.yaml)\n\(run.complaints)")
        #expect(AzionImport("[]") == nil && AzionImport("module.exports = {}") == nil)
    }
}
