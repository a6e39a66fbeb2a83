import Reactor
import Telemetry

/// What the admin API offers: one table for dispatch, for the answers to wrong requests, and for its description.
struct AdminRoute: Sendable {
    typealias Handler = @Sendable (Supervisor, AdminRequest, AdminCaller) -> AdminReply

    let method: AdminRequest.Method
    let path: String
    let role: AdminRole
    let summary: String
    let handler: Handler

    static func get(_ path: String, _ role: AdminRole, _ summary: String, _ handler: @escaping Handler) -> AdminRoute {
        AdminRoute(method: .get, path: path, role: role, summary: summary, handler: handler)
    }

    /// Whatever changes something is a POST, and is written to the log with who asked.
    static func post(_ path: String, _ role: AdminRole, _ summary: String, _ handler: @escaping Handler) -> AdminRoute {
        AdminRoute(method: .post, path: path, role: role, summary: summary, handler: handler)
    }
}

/// An answer, now or when there is one.
enum AdminReply {
    case now(AdminResponse)
    /// Called with where the answer goes; call that once.
    case later((@escaping (AdminResponse) -> Void) -> Void)
    /// Lines of the tail, for as long as the caller stays.
    case stream
}

/// An answer of the admin API.
struct AdminResponse: Equatable {
    var status = 200
    var reason = "OK"
    var type: String
    var body: String
    /// Further header lines, each with its CRLF.
    var fields = ""

    static func text(_ body: String) -> AdminResponse { AdminResponse(type: "text/plain; charset=utf-8", body: body) }
    static func json(_ body: String) -> AdminResponse { AdminResponse(type: "application/json", body: body) }

    /// A refusal, as problem details (RFC 9457).
    static func problem(_ status: Int, _ reason: String, _ detail: String) -> AdminResponse {
        let body = JSONBody.object { json in
            json.field("title", reason)
            json.field("status", status)
            json.field("detail", detail)
        }
        return AdminResponse(status: status, reason: reason, type: "application/problem+json", body: body)
    }
}

/// JSON made at once, for answers and files.
enum JSONBody {
    static func object(_ fill: (inout JSONLineWriter) -> Void) -> String {
        var json = JSONLineWriter(capacity: 1024)
        json.beginObject()
        fill(&json)
        json.endObject()
        json.endLine()
        return text(json)
    }

    static func text(_ json: borrowing JSONLineWriter) -> String {
        let bytes = json.bytes
        var copy: [UInt8] = []
        copy.reserveCapacity(bytes.count)
        for index in 0..<bytes.count { copy.append(bytes[index]) }
        return String(decoding: copy, as: UTF8.self)
    }
}

extension Supervisor {
    static let adminRoutes: [AdminRoute] = [
        .get("/healthz", .anyone, "Whether the process lives.") { _, _, _ in .now(.text("ok\n")) },
        .get("/readyz", .anyone, "Whether requests are served; 503 when not.") { supervisor, _, _ in .now(supervisor.readiness()) },
        .get("/metrics", .anyone, "Metrics of all workers, in Prometheus' text format or as OpenMetrics (by Accept).") { supervisor, request, _ in
            .later { done in supervisor.askWorkers { done(supervisor.metricsResponse(accept: request.accept, $0)) } }
        },
        .get("/status", .anyone, "Version, workers, listeners, generation, last reload.") { supervisor, _, _ in
            .now(.json(supervisor.statusText()))
        },
        .get("/", .anyone, "The dashboard; its data needs a token.") { _, _, _ in .now(Dashboard.page) },
        .get("/dashboard.css", .anyone, "Its style.") { _, _, _ in .now(Dashboard.style) },
        .get("/dashboard.js", .anyone, "Its script.") { _, _, _ in .now(Dashboard.script) },
        .get("/v1/overview", .read, "Counters of workers, sites, functions, upstreams and servers; how servers stand.") { supervisor, _, _ in
            .later { done in supervisor.askWorkers { done(.json(supervisor.overviewText($0))) } }
        },
        .get("/v1/rules", .read, "Every rule with how often it matched: [id, hits, shadow hits, limited].") { supervisor, _, _ in
            .now(.json(supervisor.rulesText()))
        },
        .get("/v1/tail", .read, "Requests as they end, a JSON object per line, until the caller leaves.") { _, _, _ in .stream },
        .get("/v1/api", .read, "This API as an OpenAPI description.") { supervisor, _, _ in
            .now(.json(AdminRoute.description(version: supervisor.options.version)))
        },
        .post("/v1/reload", .operate, "Take the changed configuration over, or say why not.") { supervisor, _, _ in
            .later { supervisor.reloadForCaller($0) }
        },
        .post("/v1/profile", .operate, "Sample what a function does on one worker: ?function=NAME&seconds=N&worker=0. A .cpuprofile.") { supervisor, request, _ in
            guard request.parameter("seconds") != nil else { return .now(.problem(400, "Bad Request", "seconds is missing")) }
            return .later { supervisor.look(request, $0) }
        },
        .post("/v1/heap", .admin, "What is on the heap of a function on one worker: ?function=NAME&worker=0. A .heapsnapshot; it may hold secrets.") { supervisor, request, _ in
            guard request.parameter("seconds") == nil else { return .now(.problem(400, "Bad Request", "a heap has no seconds")) }
            return .later { supervisor.look(request, $0) }
        },
        .post("/v1/logs/reopen", .operate, "Open log files anew.") { supervisor, _, _ in
            supervisor.reopenLogs()
            return .now(.json(JSONBody.object { $0.field("result", "reopened") }))
        },
        .post("/v1/upgrade", .admin, "Let the program's file, as it is now, take this process's place; waits until it serves or is given up.") { supervisor, request, caller in
            supervisor.upgrade(request, caller)
        },
        .post("/v1/drain", .admin, "Finish open requests and stop, like SIGTERM.") { supervisor, _, _ in
            supervisor.signalled(.terminate)
            return .now(.json(JSONBody.object { $0.field("result", "draining") }))
        },
        .post("/v1/tokens", .admin, "Make a bearer token for the admin address.") { supervisor, request, caller in
            .now(supervisor.makeToken(request, caller))
        },
    ]

    /// Finds the route, decides whether the caller may use it, and answers.
    func answer(_ request: AdminRequest, from origin: AdminOrigin) -> AdminReply {
        let routes = Supervisor.adminRoutes.filter { $0.path == request.path }
        let caller: AdminCaller
        switch access.caller(request, from: origin, now: reactor.now) {
        case .refused(let status, let reason, let why):
            return .now(unauthenticated(AdminResponse.problem(status, reason, why)))
        case .caller(let known): caller = known
        }
        guard !routes.isEmpty else {
            let known = Set(Supervisor.adminRoutes.map(\.path)).sorted().joined(separator: ", ")
            return .now(.problem(404, "Not Found", "there is no \(request.path); there are \(known)"))
        }
        let wanted = request.method == .head ? .get : request.method
        guard let route = routes.first(where: { $0.method == wanted }) else {
            var response = AdminResponse.problem(405, "Method Not Allowed", "\(request.path) does not take \(request.method.rawValue)")
            response.fields = "Allow: \(routes.map { $0.method == .get ? "GET, HEAD" : $0.method.rawValue }.joined(separator: ", "))\r\n"
            return .now(response)
        }
        guard caller.role >= route.role else { return .now(refusal(caller, route)) }
        if route.method == .post {
            log.info(
                "admin", "\(caller.name) asks for \(route.path)",
                [("caller", .text(caller.name)), ("path", .text(route.path)), ("role", .text(caller.role.name))])
        }
        return route.handler(self, request, caller)
    }

    private func refusal(_ caller: AdminCaller, _ route: AdminRoute) -> AdminResponse {
        if caller.role == .anyone {
            let who = caller.name == "anyone" ? "" : "; you showed \(caller.name)"
            return unauthenticated(.problem(
                401, "Unauthorized",
                "this needs the role \(route.role.name): use the control socket (the sluice command does), a token from \"sluice token\", or a certificate that has it\(who)"))
        }
        return .problem(403, "Forbidden", "\(caller.name) has the role \(caller.role.name); this needs \(route.role.name)")
    }

    private func unauthenticated(_ response: AdminResponse) -> AdminResponse {
        guard response.status == 401 else { return response }
        var response = response
        response.fields = "WWW-Authenticate: Bearer realm=\"sluice\"\r\n"
        return response
    }

    private func readiness() -> AdminResponse {
        let ready = workers.filter { $0?.state == .ready }.count
        let body = "\(phase.rawValue): \(ready) of \(workers.count) workers ready\n"
        if phase == .serving, ready > 0 { return .text(body) }
        return AdminResponse(status: 503, reason: "Service Unavailable", type: "text/plain; charset=utf-8", body: body)
    }

    /// `{"role":"read","hours":12,"name":"dashboard"}`, all optional.
    private func makeToken(_ request: AdminRequest, _ caller: AdminCaller) -> AdminResponse {
        let role = request.parameter("role") ?? "read"
        guard let role = AdminRole(name: role), role != .anyone, role <= caller.role else {
            return .problem(400, "Bad Request", "role is read, operate or admin, and not above your own (\(caller.role.name))")
        }
        var life = AdminAccess.usualLife
        if let minutes = request.parameter("minutes") {
            guard let number = UInt64(minutes), (1...AdminAccess.longestLife / 60_000).contains(number) else {
                return .problem(400, "Bad Request", "minutes is a number from 1 to \(AdminAccess.longestLife / 60_000)")
            }
            life = number * 60_000
        }
        var generator = SystemRandomNumberGenerator()
        let secret = (0..<4).map { _ in AdminToken.hex(UInt64.random(in: .min ... .max, using: &generator)) }.joined()
        let name = String((request.parameter("name") ?? "unnamed").prefix(40))
        access.add(AdminToken(secret: secret, role: role, expires: reactor.now + life, name: name), now: reactor.now)
        return .json(JSONBody.object { json in
            json.field("token", secret)
            json.field("role", role.name)
            json.field("minutes", life / 60_000)
            json.field("admin", admin?.link ?? "")
        })
    }
}

extension AdminToken {
    fileprivate static func hex(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
