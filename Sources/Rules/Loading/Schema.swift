/// What a value of a rule file may be.
indirect enum SchemaType: Sendable {
    /// Any text of 1 to `maximum` bytes without control characters.
    case text(maximum: Int)
    /// An identifier that other places refer to.
    case name
    /// A title: like a name, with spaces.
    case title
    case integer(ClosedRange<Int>)
    case boolean
    /// Bytes, written with a unit.
    case size
    /// Milliseconds, written with a unit.
    case time
    /// 0 to 100, written with `%`.
    case percent
    case choice([String])
    case endpoint
    case server
    case host
    /// A path relative to the file that names it; `mustExist` files are looked for.
    case file(mustExist: Bool)
    case status(ClosedRange<Int>)
    /// `100/s`: a count and a period.
    case rate
    case expression
    case template
    /// A header name.
    case header
    /// Any text, also none.
    case string
    /// Free JSON: hook arguments, bodies.
    case json
    case list(SchemaType)
    /// One value or a list of them.
    case oneOrMany(SchemaType)
    /// A map from names to values.
    case named(SchemaType)
    /// A map from header names to values.
    case headers(SchemaType)
    /// A map from header names to values, those that frame messages included.
    case fields(SchemaType)
    /// A map from names of fields to what they must equal.
    case match
    case object(SchemaObject)
    /// A short form (a single value) or the long one (a map).
    case either(SchemaType, SchemaObject)
    /// A list of actions, see `Schema.actions`.
    case actions
    /// Checked by a later part of Sluice.
    case anything
}

/// One key of a map.
struct SchemaKey: Sendable {
    var name: String
    var type: SchemaType
    var required = false
    var doc: String
    /// Read and checked, but without effect in this version.
    var inert = false

    init(_ name: String, _ type: SchemaType, required: Bool = false, inert: Bool = false, _ doc: String) {
        self.name = name
        self.type = type
        self.required = required
        self.inert = inert
        self.doc = doc
    }
}

/// A map with known keys.
struct SchemaObject: Sendable {
    /// "a listener": for messages.
    var title: String
    var keys: [SchemaKey]

    func key(_ name: String) -> SchemaKey? { keys.first { $0.name == name } }
}

/// An action of rules.
struct ActionSchema: Sendable {
    var name: String
    /// nil: takes no argument.
    var argument: SchemaType?
    var phases: Set<Phase>
    var doc: String
    /// Part of the language, not carried out by this version.
    var available = true
    /// Ends the phase.
    var isFinal = false
}

/// The table of the whole rule-file language. The loader runs from it; nothing else knows a key.
enum Schema {
    static let root = SchemaObject(title: "a rule file", keys: [
        SchemaKey("sluice", .integer(1...1), "Version of the language: 1. Needed in the main file."),
        SchemaKey("include", .oneOrMany(.text(maximum: 1024)), "Further rule files, by name or glob (`rules/*.yaml`), relative to this file."),
        SchemaKey("listeners", .list(.object(listener)), "Where clients connect."),
        SchemaKey("admin", .object(admin), "Where `/metrics` and the admin API listen."),
        SchemaKey("access_log", .object(accessLog), "Where each exchange is logged."),
        SchemaKey("drain", .object(drain), "How long what runs may go on when it has to end."),
        SchemaKey("tracing", .object(tracing), "Spans of requests, for a collector of OpenTelemetry."),
        SchemaKey("debug", .object(debug), "Explaining live requests."),
        SchemaKey("limits", .object(limits), "Bounds for what peers may do; every listener inherits them."),
        SchemaKey("forwarding", .object(forwarding), "Proxies in front of this gateway, and what origins are told of clients."),
        SchemaKey("resolver", .object(resolver), "Who is asked for the addresses of servers."),
        SchemaKey("upstreams", .named(.object(upstream)), "Groups of origin servers."),
        SchemaKey("functions", .named(.object(function)), "JavaScript hooks."),
        SchemaKey("kv", .named(.object(keyValue)), "Key-value namespaces that functions may be granted."),
        SchemaKey("egress", .object(egress), "How hosts outside are reached that functions are granted by `egress`."),
        SchemaKey("secrets", .named(.object(secret)), "Secrets that functions may be granted; where they are, never what they are."),
        SchemaKey("lists", .named(.list(.text(maximum: 1024))), "Named sets of addresses or strings, for `in $name`."),
        SchemaKey("sites", .list(.object(site)), "Rules by host."),
        SchemaKey("tests", .list(.object(test)), "Test cases for `sluice test`."),
    ])

    static let listener = SchemaObject(title: "a listener", keys: [
        SchemaKey("name", .name, required: true, "Name in logs and metrics."),
        SchemaKey("address", .endpoint, required: true, "`0.0.0.0:443` for every IPv4 address, `[::]:443` for every IPv6 address (one listener for each), or one of the machine's own."),
        SchemaKey("tls", .object(listenerTLS), "Serve TLS."),
        SchemaKey("protocols", .list(.choice(["http1", "http2"])), "What to speak. Default: http1 and http2 with TLS, http1 without."),
        SchemaKey("proxy_protocol", .list(.text(maximum: 64)), "Addresses of balancers that begin each connection with a PROXY header (version 1 or 2). Connections from there without one are closed; from elsewhere none is read."),
        SchemaKey("half_close", .choice(["abandon", "serve"]), "HTTP/1.1 clients that end their side while they wait: their requests are given up, as nginx and Envoy do (default), or served."),
        SchemaKey("limits", .object(limits), "Limits of this listener, over the top-level ones."),
    ])

    static let listenerTLS = SchemaObject(title: "`tls` of a listener", keys: [
        SchemaKey("certificates", .list(.object(certificate)), required: true, "Chosen by the name the client asks for; the first is the default."),
        SchemaKey("min_version", .choice(["1.2", "1.3"]), "Oldest TLS version. Default 1.2."),
        SchemaKey("ciphers", .text(maximum: 4096), "Ciphers of TLS 1.2, a list as `openssl ciphers` takes it. Default: ECDHE with AES-GCM or ChaCha20."),
        SchemaKey("suites", .text(maximum: 1024), "Cipher suites of TLS 1.3, separated by `:`."),
        SchemaKey("curves", .text(maximum: 1024), "Groups for key exchange, best first. Default `X25519:P-256:P-384`."),
        SchemaKey("client", .object(clientCertificates), "Ask clients for certificates."),
        SchemaKey("kernel", .boolean, "Let the kernel encrypt answers where it can (kTLS). Default true."),
        SchemaKey("records", .choice(["gateway", "openssl"]), "Who makes the records of TLS 1.3 that the kernel does not: the gateway itself (default), or OpenSSL, which costs more for each request."),
        SchemaKey("unknown_names", .choice(["serve", "refuse"]), "A name no certificate covers gets the first certificate (default), or no connection."),
        SchemaKey("other_hosts", .choice(["refuse", "serve"]), "Requests for hosts that the connection's certificate does not cover get 421 (default), or are served."),
    ])

    static let clientCertificates = SchemaObject(title: "`client`", keys: [
        SchemaKey("ca", .file(mustExist: true), required: true, "PEM file of the authorities that sign clients' certificates."),
        SchemaKey("crl", .file(mustExist: true), "PEM file of revocation lists, one of each authority in a client's chain: without it, or when it is too old, a certificate is not good."),
        SchemaKey("verify", .choice(["required", "optional"]), "`required` (default): no connection without a good one. `optional`: rules decide by `tls.client.verified`."),
    ])

    static let certificate = SchemaObject(title: "a certificate", keys: [
        SchemaKey("cert", .file(mustExist: true), required: true, "PEM file: certificate, then its chain."),
        SchemaKey("key", .file(mustExist: true), required: true, "PEM file: private key."),
        SchemaKey("ocsp", .file(mustExist: true), "OCSP response (DER) to staple while it is current."),
        SchemaKey("min_version", .choice(["1.2", "1.3"]), "For the names of this certificate. Default: the listener's."),
        SchemaKey("client", .object(clientCertificates), "For the names of this certificate. Default: the listener's."),
    ])

    static let admin = SchemaObject(title: "`admin`", keys: [
        SchemaKey("address", .endpoint, required: true, "A loopback address, `unix:/path`, or with `tls` any address."),
        SchemaKey("tokens", .list(.object(adminToken)), "Tokens that last, for scripts and for scraping. `sluice token` makes some that do not."),
        SchemaKey("tls", .object(adminTLS), "Serve the admin address over TLS. Browsers and scripts may then also ask by the names of the certificate."),
        SchemaKey("clients", .list(.object(adminClient)), "Roles by certificate: of `tls: {client:}`. The first that fits counts; a certificate that none fits is a stranger."),
    ])

    // Workers load the rule file without these: whether they are there is found out by whoever reads them.
    static let adminTLS = SchemaObject(title: "`tls` of `admin`", keys: [
        SchemaKey("cert", .file(mustExist: false), required: true, "PEM file: certificate, then its chain."),
        SchemaKey("key", .file(mustExist: false), required: true, "PEM file: private key. Workers do not get it."),
        SchemaKey("min_version", .choice(["1.2", "1.3"]), "Oldest TLS version. Default 1.2."),
        SchemaKey("client", .object(adminClientCertificates), "Ask for certificates."),
    ])

    static let adminClientCertificates = SchemaObject(title: "`client` of `admin`", keys: [
        SchemaKey("ca", .file(mustExist: false), required: true, "PEM file of the authorities that sign certificates of people and tools."),
        SchemaKey("crl", .file(mustExist: false), "PEM file of revocation lists, one of each authority in a client's chain: without it, or when it is too old, a certificate is not good."),
        SchemaKey("verify", .choice(["required", "optional"]), "`required` (default): no connection without a good one. `optional`: without one a caller is a stranger, or has a token."),
    ])

    static let adminClient = SchemaObject(title: "an admin client", keys: [
        SchemaKey("name", .name, required: true, "Name in the log."),
        SchemaKey("role", .choice(["read", "operate", "admin"]), required: true, "What it allows, as for tokens."),
        SchemaKey("subject", .text(maximum: 512), "The whole subject as `openssl x509 -nameopt RFC2253` prints it: `CN=alice,O=Example`."),
        SchemaKey("san", .text(maximum: 512), "One of its alternative names: `DNS:ops.example.com`, `URI:spiffe://example.com/ops`, `email:alice@example.com`."),
        SchemaKey("fingerprint", .text(maximum: 95), "SHA-256 of the certificate in hexadecimal, with or without colons."),
    ])

    static let adminToken = SchemaObject(title: "a token", keys: [
        SchemaKey("name", .name, required: true, "Name in the log."),
        SchemaKey("role", .choice(["read", "operate", "admin"]), required: true, "What it allows: to look; also to reload and reopen logs; everything."),
        SchemaKey("file", .file(mustExist: false), required: true, "File with the token: one line of at least 32 bytes, for example from `head -c 32 /dev/urandom | base64`."),
    ])

    static let debug = SchemaObject(title: "`debug`", keys: [
        SchemaKey(
            "key_file", .file(mustExist: true), required: true,
            "File with a key of at least 32 bytes. A request whose `Sluice-Trace` header is signed with it is explained in the log, see `sluice explain --sign`."),
    ])

    static let tracing = SchemaObject(title: "`tracing`", keys: [
        SchemaKey("upstream", .name, required: true, "The collector: it takes OTLP over HTTP in JSON (port 4318 as a rule). When it is away spans are dropped and counted; nothing waits for it."),
        SchemaKey("path", .text(maximum: 1024), "Default `/v1/traces`."),
        SchemaKey("sample", .percent, "Share of the requests that are traced. What a trusted proxy says in `traceparent` goes before. Default 10%."),
        SchemaKey("service", .text(maximum: 256), "`service.name` of the spans. Default sluice."),
        SchemaKey("headers", .headers(.text(maximum: 4096)), "Sent with each batch, a key for the collector for example."),
    ])

    static let drain = SchemaObject(title: "`drain`", keys: [
        SchemaKey("reload", .time, "What began under an older configuration, after a reload. Then WebSockets get a close frame, HTTP/2 a GOAWAY, and what still runs is cut. Default: as long as it likes."),
        SchemaKey("upgrade", .time, "What runs in the old process after `sluice upgrade`. Default 30s."),
        SchemaKey("stop", .time, "What runs after SIGTERM; `--drain-timeout` takes its place. Default 30s."),
    ])

    static let accessLog = SchemaObject(title: "`access_log`", keys: [
        SchemaKey("path", .text(maximum: 4096), "`stdout` (default), `off`, a file, `journal` (systemd's), `syslog` or `syslog:/path` (RFC 5424 to `/dev/log` or another socket), or `syslog+udp:ADDRESS:PORT`."),
        SchemaKey("format", .choice(["json", "combined", "template"]), "`json` (default), `combined`, or `template` with the key of that name."),
        SchemaKey("template", .text(maximum: 4096), "A line: text with `${field}`, `${header:NAME}`, `${response_header:NAME}`. Fields: \(LogField.allCases.map(\.rawValue).joined(separator: ", ")). What is not known is `-`; control characters, quotes and backslashes are written as `\\xHH`."),
        SchemaKey("sample", .percent, "Share of the requests that are written, chosen by their ids. Requests that ended in an error or with a status from 500 are always written. Default 100%."),
        SchemaKey("headers", .list(.header), "Request headers that JSON lines carry, as `headers`."),
        SchemaKey("redact", .object(redaction), "What is written as `[redacted]`."),
    ])

    static let redaction = SchemaObject(title: "`redact`", keys: [
        SchemaKey("headers", .list(.header), "Headers, beside \(AccessLog.secretHeaders.map { "`\($0)`" }.joined(separator: ", ")), which always are."),
        SchemaKey("query", .list(.text(maximum: 256)), "Query parameters by their exact names."),
    ])

    static let limits = SchemaObject(title: "`limits`", keys: [
        SchemaKey("request_line", .size, "Longest request line; 414 beyond. Default 8KiB."),
        SchemaKey("header_bytes", .size, "Largest header section; 431 beyond. Default 64KiB, which over HTTP/1.1 is also the most."),
        SchemaKey("header_field", .size, "Largest single field. Default 8KiB."),
        SchemaKey("header_fields", .integer(1...10_000), "Most fields. Default 100."),
        SchemaKey("trailer_bytes", .size, "Largest trailer section. Default 8KiB."),
        SchemaKey("trailer_fields", .integer(0...1_000), "Most trailer fields. Default 32."),
        SchemaKey("body", .size, "Largest request body; 413 beyond. Default: unlimited, bodies stream."),
        SchemaKey("buffered_body", .size, "Largest body held for a hook. Default 1MiB."),
        SchemaKey("exchange_buffer", .size, "Buffered bytes of one exchange each way, then backpressure. Default 256KiB."),
        SchemaKey("head_timeout", .time, "For the whole request head; 408 beyond. Default 10s."),
        SchemaKey("body_rate_bytes", .size, "Bytes a body must move in `body_rate_time`. Default 1KiB."),
        SchemaKey("body_rate_time", .time, "See `body_rate_bytes`. Default 10s."),
        SchemaKey("tls_handshake", .time, "For the TLS handshake. Default 10s."),
        SchemaKey("handshakes", .integer(1...1_000_000), "TLS handshakes of a worker at once; then the oldest over a second is given up. Default 256."),
        SchemaKey("keep_alive", .time, "How long an idle connection stays. Default 75s."),
        SchemaKey("requests_per_connection", .integer(1...1_000_000_000), "Then the connection is closed cleanly. Default 10000."),
        SchemaKey("write_stall", .time, "How long a client may read nothing. Default 60s."),
        SchemaKey("write_rate", .size, "Bytes per second a client must take of its response, over each `write_stall`. Default 240B."),
        SchemaKey("connections", .integer(1...10_000_000), "Connections of one worker. Default 20000."),
        SchemaKey("connections_per_address", .integer(1...10_000_000), "Connections of one client address and worker. Default 1000."),
        SchemaKey("memory", .size, "Memory of one worker, at the top level only; near it the worker sheds load. Default: its share of four fifths of what there is."),
        SchemaKey("streams", .integer(1...100_000), "Concurrent HTTP/2 streams of a connection. Default 100."),
        SchemaKey("stream_window", .size, "Bytes an HTTP/2 client may send ahead on a stream. Default 64KiB."),
        SchemaKey("connection_window", .size, "The same for all streams of a connection. Default 1MiB."),
        SchemaKey("resets", .integer(1...1_000_000), "HTTP/2 resets by a client or provoked by it, and malformed or too large heads, in 30 s. Default 200."),
        SchemaKey("control_burst", .integer(10...10_000_000), "HTTP/2 control frames at once. Default 1000."),
        SchemaKey("control_rate", .integer(1...1_000_000), "HTTP/2 control frames a second beyond the burst. Default 33."),
        SchemaKey("continuations", .integer(0...1_000), "HTTP/2 CONTINUATION frames of one head. Default 8."),
        SchemaKey("empty_data", .integer(0...1_000_000), "Empty HTTP/2 DATA frames in a row. Default 10."),
        SchemaKey("flood_pause", .time, "How long the next connection of a client (address and TLS fingerprint) waits after its second that was ended for an HTTP/2 flood; twice as long each time, at most 16 times. Default 1s; 0s for not at all."),
        SchemaKey("queued_frames", .integer(100...1_000_000), "HTTP/2 frames of the gateway that wait for a client that does not read. Default 1000."),
        SchemaKey("header_table", .size, "Table by which an HTTP/2 client compresses its heads, at most 64KiB. Default 4KiB."),
        SchemaKey("client_hello", .size, "Largest TLS ClientHello, at least 1KiB. Default 16KiB."),
    ])

    static let upstream = SchemaObject(title: "an upstream", keys: [
        SchemaKey("servers", .list(.either(.server, upstreamServer)), required: true, "`http://host:port`, `https://host:port`, `h2c://host:port` for HTTP/2 without TLS, `unix:/path`, or `srv+http://_service._tcp.name` (also `srv+https`, `srv+h2c`) for what SRV records name."),
        SchemaKey("balance", .either(.choice(["round_robin", "least_requests", "random"]), balance), "How a server is picked. Default round_robin."),
        SchemaKey("protocol", .choice(Upstream.Wire.allCases.map(\.rawValue)), "What is spoken to the servers: http1 (default), http2 (with TLS by ALPN, else by prior knowledge), or auto (with TLS what ALPN chooses, else http1)."),
        SchemaKey("max_streams", .integer(1...10_000), "Requests at once on one HTTP/2 connection. Default 100."),
        SchemaKey("timeouts", .object(upstreamTimeouts), "How long to wait for a server."),
        SchemaKey("limits", .object(upstreamLimits), "How much a server may send."),
        SchemaKey("tls", .object(upstreamTLS), "For servers with https."),
        SchemaKey("max_connections", .integer(1...100_000), "Connections to one server from one worker. Default 1024."),
        SchemaKey("keepalive", .integer(0...100_000), "Idle connections kept to one server by one worker. Default 64."),
        SchemaKey("warm", .integer(0...10_000), "Connections to one server that each worker opens ahead of need and keeps idle, at most `keepalive`; with HTTP/2 one is enough. Default 0."),
        SchemaKey("max_pending", .integer(0...100_000), "Requests that wait for a connection to one server of one worker; 503 beyond. Default 1024."),
        SchemaKey("max_requests", .integer(1...1_000_000), "Requests that one server serves at once for one worker; 503 beyond. Default: no limit."),
        SchemaKey("health", .object(health), "Active health check. One worker asks, all of them know."),
        SchemaKey("proxy_protocol", .choice(["v1", "v2"]), "Begin each connection with a PROXY header that names the client. Such a connection serves one client request and is not kept; HTTP/1.1 only."),
        SchemaKey("ejection", .object(ejection), "When a server is left out for what its own answers show."),
        SchemaKey("slow_start", .time, "Time in which a server that came back grows to its full share. Default 0ms."),
        SchemaKey("panic", .percent, "With fewer of the servers in service their health is not looked at. Default 0%: only when there is none."),
        SchemaKey("retry", .object(retry), "When to ask again. A rule's `retry` takes its place."),
    ])

    static let upstreamTimeouts = SchemaObject(title: "`timeouts`", keys: [
        SchemaKey("connect", .time, "TCP and TLS handshake. Default 1s."),
        SchemaKey("first_byte", .time, "From the sent request to the first byte of the answer. Default 30s."),
        SchemaKey("idle", .time, "Between two reads of an answer. Default 60s."),
        SchemaKey("half_closed", .time, "Of a tunnel (WebSocket, CONNECT) whose client has ended its side: how long the origin may be silent. Default 10s, and never more than `idle`."),
        SchemaKey("total", .time, "From the request's way to the origin until its answer is complete. Default: no limit."),
    ])

    static let upstreamLimits = SchemaObject(title: "`limits` of an upstream", keys: [
        SchemaKey("header_bytes", .size, "Largest header section of an answer, at most 64KiB; 502 beyond. Default 64KiB."),
        SchemaKey("header_field", .size, "Largest single field. Default 8KiB."),
        SchemaKey("header_fields", .integer(1...10_000), "Most fields. Default 100."),
        SchemaKey("interims", .integer(0...1_000), "Interim answers (1xx) to one request. Default 16."),
        SchemaKey("buffer", .size, "Bytes of an answer that are held for a slow client, 16KiB to 16MiB; then the server is not read. Default 256KiB."),
    ])

    static let upstreamTLS = SchemaObject(title: "`tls` of an upstream", keys: [
        SchemaKey("verify", .boolean, "Check the server's certificate. Default true."),
        SchemaKey("ca", .file(mustExist: true), "PEM file of trusted authorities. Default: the system's."),
        SchemaKey("cert", .file(mustExist: true), "PEM file: certificate to show to servers that ask for one, then its chain."),
        SchemaKey("key", .file(mustExist: true), "PEM file: its private key."),
        SchemaKey("min_version", .choice(["1.2", "1.3"]), "Oldest TLS version. Default 1.2."),
        SchemaKey("sni", .text(maximum: 253), "Name to ask for and to check. Default: the server's host."),
    ])

    static let function = SchemaObject(title: "a function", keys: [
        SchemaKey("file", .file(mustExist: true), required: true, "JavaScript module."),
        SchemaKey("limits", .object(functionLimits), "Budget of one call."),
        SchemaKey("timeout", .time, "The same as `limits.wall`."),
        SchemaKey("on_error", .either(.choice(["deny", "continue", "respond"]), onError), "What happens to the exchange when the hook fails. Default respond: 500."),
        SchemaKey("security", .boolean, "It protects something: when it fails, the request is denied with 503 unless `on_error` says otherwise; `on_error: continue` is refused and `ctx.passThroughOnException()` has no effect. Default false."),
        SchemaKey("isolation", .choice(Function.Isolation.allCases.map(\.rawValue)), "`worker` (default): what the module keeps in variables is shared by the calls on a worker. `request`: every call begins in a world where nobody was before, for about 1 ms of processor time."),
        SchemaKey("upstreams", .list(.name), "Upstreams the hook may call as `env.NAME.fetch()`."),
        SchemaKey("webassembly", .boolean, "Give it WebAssembly, from bytes or by `import x from \"./x.wasm\"`, in a confined process of its own. Its memories together have `limits.memory` once more. Default false."),
        SchemaKey("untrusted", .boolean, "Run it in a confined process of its tenant, with the clock frozen while it runs. Default false."),
        SchemaKey("tenant", .name, "Functions of one tenant share a confined process. Default: every function is a tenant of its own."),
        SchemaKey("lane", .choice(Function.Lane.allCases.map(\.rawValue)), "Where it runs: `inline` in the worker, `cordon` in a confined process, `auto` (default) in the worker until it is slow or costs a worker its life."),
    ] + bindings + schedule + compat)

    static let functionLimits = SchemaObject(title: "`limits` of a function", keys: [
        SchemaKey("cpu", .time, "Processor time. Default 50ms."),
        SchemaKey("wall", .time, "Time on the clock. Default 10s."),
        SchemaKey("memory", .size, "Heap and external memory. Default 64MiB."),
        SchemaKey("subrequests", .integer(0...1_000), "Most sub-requests. Default 50."),
        SchemaKey("crypto", .time, "Processor time of RSA keys that are made, of operations with large ones and of PBKDF2, which run beside the requests. Default 5s."),
        SchemaKey("log_bytes", .size, "Most text logged. Default 64KiB."),
    ])

    static let onError = SchemaObject(title: "`on_error`", keys: [
        SchemaKey("deny", .status(400...599), "Answer with this status (503 when only `deny` is written)."),
        SchemaKey("respond", .status(200...599), "Answer with this status (500 when only `respond` is written)."),
        SchemaKey("fallback", .name, "Request phase: send the request to this upstream as it was; in the other phases the same as `respond`."),
    ])

    static let site = SchemaObject(title: "a site", keys: [
        SchemaKey("name", .title, required: true, "Name in logs, metrics and rule ids."),
        SchemaKey("hosts", .list(.host), required: true, "`shop.example.com`, `*.example.com`, or `*` for every other host."),
        SchemaKey("upstream", .name, "Where requests go unless a rule says otherwise."),
        SchemaKey("connect", .name, "Upstream to whose servers CONNECT for these hosts opens TCP tunnels. Default: CONNECT is refused with 405."),
        SchemaKey("request", .list(.object(rule)), "Rules before the origin is asked."),
        SchemaKey("response", .list(.object(rule)), "Rules for the origin's answer."),
        SchemaKey("error", .list(.object(rule)), "Rules for when the origin or a hook failed."),
    ])

    static let rule = SchemaObject(title: "a rule", keys: [
        SchemaKey("name", .title, "Name in logs and traces. Default: file and line."),
        SchemaKey("when", .expression, "Condition. Default: always."),
        SchemaKey("match", .match, "Short form of a condition: every field must equal its value, or one of a list."),
        SchemaKey("mode", .choice(["on", "shadow"]), "`shadow`: evaluated and logged, never applied."),
        SchemaKey("do", .actions, required: true, "Actions, in order."),
    ])
}
