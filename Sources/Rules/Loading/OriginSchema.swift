import HTTP

/// Keys and actions about origins: health, retries, times, the choice of a server.
extension Schema {
    static let resolver = SchemaObject(title: "`resolver`", keys: [
        SchemaKey("servers", .list(.endpoint), "DNS servers, `address:port`. Default: those of `/etc/resolv.conf`. `/etc/hosts` is looked at first in any case."),
    ])

    static let upstreamServer = SchemaObject(title: "a server", keys: [
        SchemaKey("url", .server, required: true, "`http://host:port`, `https://host:port` or `h2c://host:port`."),
        SchemaKey("weight", .integer(1...1_000), "Its share of the requests, compared with the other servers'. Default 1."),
    ])

    static let forwarding = SchemaObject(title: "`forwarding`", keys: [
        SchemaKey("trust", .list(.text(maximum: 64)), "Addresses of proxies in front of this gateway. Their `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are believed and passed on; everybody else's are replaced."),
        SchemaKey("fields", .choice(Forwarding.Fields.allCases.map(\.rawValue)), "What origins are told by: x_forwarded (default), forwarded (RFC 7239), or both."),
        SchemaKey("traceparent", .choice(["keep", "make"]), "keep (default): passed on as it came. make: one that is missing or malformed is made, sampled, with the request id as trace id."),
    ])

    static let balance = SchemaObject(title: "`balance`", keys: [
        SchemaKey("hash", .text(maximum: 1024), "A field (`header.x-user`) or text with `${...}`: the same value always gets the same server, and when servers change few values move. Without a value: at random."),
        SchemaKey("sticky", .object(sticky), "A client stays with its server by a cookie."),
        SchemaKey("otherwise", .choice(["round_robin", "least_requests", "random"]), "For clients without the cookie of `sticky`. Default round_robin."),
    ])

    static let sticky = SchemaObject(title: "`sticky`", keys: [
        SchemaKey("cookie", .header, required: true, "Name of the cookie. Its values do not tell addresses; with one `--ticket-secret` several gateways, and restarts, agree on them."),
        SchemaKey("max_age", .time, "`Max-Age`, in whole seconds. Default: until the browser closes."),
        SchemaKey("path", .text(maximum: 1024), "`Path`. Default `/`."),
        SchemaKey("secure", .boolean, "`Secure`. Default true."),
    ])

    static let health = SchemaObject(title: "`health`", keys: [
        SchemaKey("type", .choice(["http", "tcp", "grpc"]), "http (default): a request and its status. tcp: a connection comes about, with TLS for https. grpc: `grpc.health.v1.Health/Check`."),
        SchemaKey("path", .text(maximum: 2048), "Path to ask for. Default `/`."),
        SchemaKey("host", .text(maximum: 253), "Host to ask for. Default: the server's."),
        SchemaKey("status", .oneOrMany(.text(maximum: 16)), "Statuses that are good: `200` or `200-299`. Default 200-299."),
        SchemaKey("service", .text(maximum: 120), "Service that grpc asks for. Default: the server as a whole."),
        SchemaKey("every", .time, "Time between two checks. Default 2s."),
        SchemaKey("timeout", .time, "Time for one check. Default 1s."),
        SchemaKey("fail_after", .integer(1...100), "Failures that take a server out; the first check of all decides alone. Default 3."),
        SchemaKey("pass_after", .integer(1...100), "Successes that bring it back. Default 2."),
    ])

    static let ejection = SchemaObject(title: "`ejection`", keys: [
        SchemaKey("failures", .integer(0...1_000), "Failures in a row that take a server out: resets, time limits, broken answers, statuses 502 to 504. 0: never. Default 5."),
        SchemaKey("time", .time, "For how long; as much more each time it happens again, at most 5m, and less by as much for each such time in service. Default 10s."),
        SchemaKey("max", .percent, "Share of the servers that may be out for this reason; one always may. Default 50%."),
        SchemaKey("grpc_status", .oneOrMany(.choice(GRPCStatus.names)), "Statuses of gRPC calls that are failures too, with no message or behind the last one; `[]`: none. Default unavailable and deadline_exceeded, which stand for 503 and 504. A deadline that the client set (`grpc-timeout`) and that is over is nobody's failure."),
    ])

    static let retry = SchemaObject(title: "`retry`", keys: [
        SchemaKey("tries", .integer(1...10), "Attempts in all, the first one included. Default 2."),
        SchemaKey("on", .oneOrMany(.text(maximum: 16)), "`connect` (also what an HTTP/2 server refused without a look: another one gets it), `reset`, `timeout`, and statuses from 400 to 599. Default connect."),
        SchemaKey("grpc_status", .oneOrMany(.choice(GRPCStatus.names)), "Calls of gRPC that fail at once, with this status and no message: they are repeated although each is a POST, after what `grpc-retry-pushback-ms` says, at most 1s. Default: none."),
        SchemaKey("budget", .percent, "Retries per hundred requests of the upstream, beyond a reserve of ten. Failed connections do not count. Default 20%."),
        SchemaKey("per_try", .time, "From the sent request to the first byte of its answer, for each attempt. Default: `timeouts.first_byte`."),
        SchemaKey("methods", .choice(["idempotent", "any"]), "What may be repeated once it was sent: GET, HEAD, OPTIONS, PUT, DELETE (default), or everything."),
        SchemaKey("body", .size, "Largest request body that is kept for another attempt, at most 16MiB. Default 64KiB."),
    ])

    static let timeout = SchemaObject(title: "`timeout`", keys: [
        SchemaKey("connect", .time, "As `timeouts.connect` of the upstream."),
        SchemaKey("first_byte", .time, "As `timeouts.first_byte`."),
        SchemaKey("idle", .time, "As `timeouts.idle`."),
        SchemaKey("total", .time, "As `timeouts.total`."),
    ])

    static let origins: [ActionSchema] = [
        ActionSchema(name: "retry", argument: .object(retry), phases: [.request], doc: "When to ask an origin again, instead of the upstream's `retry`."),
        ActionSchema(name: "timeout", argument: .either(.time, timeout), phases: [.request], doc: "Times of this exchange, instead of the upstream's; a single time is the total."),
    ]
}
