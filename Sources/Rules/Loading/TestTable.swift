/// The keys of test cases, see `sluice test`.
extension Schema {
    static let testFile = SchemaObject(title: "a test file", keys: [
        SchemaKey("config", .file(mustExist: true), required: true, "The rule file that the tests are for, relative to this file."),
        SchemaKey("tests", .list(.object(test)), required: true, "Test cases."),
    ])

    static let test = SchemaObject(title: "a test", keys: [
        SchemaKey("name", .title, required: true, "What the test shows."),
        SchemaKey("fresh", .boolean, "Functions start anew for this test; otherwise what they keep in globals stays, as between requests."),
        SchemaKey("time", .string, "What the clock says: `2026-11-25T22:00:00Z`, or seconds since 1970."),
        SchemaKey("kv", .named(.match), "What namespaces hold when the test begins, by namespace and key; a map or list is kept as JSON. Default: nothing."),
        SchemaKey("steps", .list(.object(testStep)), "Several requests, one after the other, in the place of `send` and `expect`."),
    ] + stepKeys)

    static let testStep = SchemaObject(title: "a step of a test", keys: stepKeys)

    private static let stepKeys = [
        SchemaKey("wait", .time, "Time that passes before the request, on the test's clock."),
        SchemaKey("send", .object(testRequest), "The request of the client."),
        SchemaKey("scheduled", .name, "Function whose schedule runs, in the place of a request."),
        SchemaKey("repeat", .integer(1...100_000), "Send it so many times; the last answer is looked at. Default 1."),
        SchemaKey("origin", .oneOrMany(.object(testAnswer)), "What every upstream answers, in turn; the last answer stays. Default: an empty 200."),
        SchemaKey("origins", .named(.oneOrMany(.object(testAnswer))), "The same by upstream, also for sub-requests of hooks."),
        SchemaKey("expect", .object(testExpectation), "What has to be so afterwards."),
    ]

    static let testRequest = SchemaObject(title: "`send`", keys: [
        SchemaKey("url", .text(maximum: 16_384), required: true, "`https://host/path?query`."),
        SchemaKey("method", .text(maximum: 64), "Default GET."),
        SchemaKey("headers", .fields(.oneOrMany(.string)), "Header fields."),
        SchemaKey("body", .string, "Text of the body."),
        SchemaKey("json", .json, "Body as JSON, with its Content-Type."),
        SchemaKey("http_version", .choice(["1.0", "1.1", "2"]), "Default 1.1."),
        SchemaKey("client_ip", .text(maximum: 64), "Default 198.51.100.1."),
        SchemaKey("client_port", .integer(0...65_535), "Default 50000."),
        SchemaKey("tls", .object(testTLS), "What the handshake settled; by default TLSv1.3 and the URL's host."),
    ])

    static let testTLS = SchemaObject(title: "`tls` of a test", keys: [
        SchemaKey("version", .choice(["TLSv1.2", "TLSv1.3"]), "Default TLSv1.3."),
        SchemaKey("cipher", .text(maximum: 128), "Default TLS_AES_128_GCM_SHA256."),
        SchemaKey("sni", .text(maximum: 253), "Default: the URL's host."),
        SchemaKey("client_subject", .string, "Subject of the client's certificate."),
        SchemaKey("client_verified", .boolean, "Whether that certificate was verified. Default false."),
    ])

    static let testAnswer = SchemaObject(title: "an answer of an origin", keys: [
        SchemaKey("method", .text(maximum: 64), "Only for requests with this method."),
        SchemaKey("path", .text(maximum: 4_096), "Only for requests with this path; `*` is a wildcard."),
        SchemaKey("status", .status(100...599), "Default 200."),
        SchemaKey("headers", .fields(.oneOrMany(.string)), "Header fields."),
        SchemaKey("body", .string, "Text of the body."),
        SchemaKey("json", .json, "Body as JSON, with its Content-Type."),
        SchemaKey("file", .file(mustExist: true), "File with the body."),
        SchemaKey("delay", .time, "Before the head of the answer, on the test's clock."),
        SchemaKey("body_delay", .time, "Between head and body."),
        SchemaKey(
            "fail", .choice(TestAnswer.Failure.allCases.map(\.rawValue)),
            "The answer fails: the name does not resolve (`dns`), no connection (`connect`, `connect_timeout`), no handshake (`tls`), no answer (`timeout`), a cut before the head (`reset`) or inside the body (`cut`), no HTTP (`protocol`)."),
    ])

    static let testExpectation = SchemaObject(title: "`expect`", keys: [
        SchemaKey("status", .integer(100...599), "Status of the answer."),
        SchemaKey("closed", .boolean, "Whether the connection was closed without a whole answer (`drop`, a cut)."),
    ] + messageKeys("the answer") + [
        SchemaKey("rules", .list(.text(maximum: 300)), "Rules that matched, in this order; others may stand between."),
        SchemaKey("only_rules", .list(.text(maximum: 300)), "Exactly the rules that matched, in order."),
        SchemaKey("not_rules", .oneOrMany(.text(maximum: 300)), "Rules that did not match."),
        SchemaKey("site", .title, "The site that was chosen."),
        SchemaKey("upstream", .name, "The upstream that was chosen."),
        SchemaKey("origin_called", .boolean, "Whether the client's request reached an origin."),
        SchemaKey("calls", .named(.integer(0...100_000)), "How many requests reached an upstream, sub-requests and retries included."),
        SchemaKey("request", .object(testOriginRequest), "The client's request as the origin saw it."),
        SchemaKey("hooks", .named(.text(maximum: 64)), "What the last call of a function came to: `continue`, `respond`, `deny`, or how it failed."),
        SchemaKey("error", .text(maximum: 64), "The failure of the exchange, as in the log or as `error.kind` says it; `none`."),
        SchemaKey("kv", .named(.match), "Entries of namespaces, by namespace and key; `null`: there is none."),
        SchemaKey("log_contains", .oneOrMany(.string), "Texts of log lines of rules and hooks."),
    ])

    static let testOriginRequest = SchemaObject(title: "`request` of `expect`", keys: [
        SchemaKey("method", .text(maximum: 64), "Method."),
        SchemaKey("uri", .text(maximum: 16_384), "Path and query."),
        SchemaKey("path", .text(maximum: 16_384), "Path."),
        SchemaKey("query", .string, "Query without `?`."),
    ] + messageKeys("the request"))

    private static func messageKeys(_ what: String) -> [SchemaKey] {
        [
            SchemaKey("headers", .fields(.string), "Fields that \(what) has, with these values."),
            SchemaKey("headers_match", .fields(.string), "Fields whose value a regular expression matches."),
            SchemaKey("headers_present", .oneOrMany(.text(maximum: 256)), "Fields that \(what) has."),
            SchemaKey("headers_absent", .oneOrMany(.text(maximum: 256)), "Fields that \(what) does not have."),
            SchemaKey("body", .string, "The whole body."),
            SchemaKey("body_contains", .oneOrMany(.string), "Texts in the body."),
            SchemaKey("not_body_contains", .oneOrMany(.string), "Texts that are not in the body."),
            SchemaKey("body_matches", .string, "A regular expression that the body matches."),
            SchemaKey("json", .json, "The body, as JSON."),
            SchemaKey("json_contains", .json, "Part of the body, as JSON: objects may have further members."),
        ]
    }
}
