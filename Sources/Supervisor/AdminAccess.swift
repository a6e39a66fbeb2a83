import Reactor

/// Who may ask the admin API for what. Decisions without I/O.
enum AdminRole: Int, Comparable, CaseIterable {
    /// Nobody in particular: health, metrics, and the dashboard's page without its data.
    case anyone
    /// Everything that can be looked at.
    case read
    /// Also reload, reopen logs, drain.
    case operate
    /// Also give access to others, upgrade, stop.
    case admin

    var name: String { ["anyone", "read", "operate", "admin"][rawValue] }

    init?(name: String) {
        guard let role = AdminRole.allCases.first(where: { $0.name == name }) else { return nil }
        self = role
    }

    static func < (left: AdminRole, right: AdminRole) -> Bool { left.rawValue < right.rawValue }
}

/// Where a connection to the admin API comes from.
enum AdminOrigin: Equatable {
    /// The control socket, by user and process.
    case local(user: UInt32, process: Int32)
    /// The admin address: anybody who reaches it, also a page in somebody's browser.
    case network
}

/// A caller, as the audit log names it.
struct AdminCaller: Equatable {
    var role: AdminRole
    var name: String
    /// It came by the control socket.
    var isLocal = false
}

/// A bearer token that the gateway made itself. It lives in memory only.
struct AdminToken {
    let secret: String
    let role: AdminRole
    /// Monotonic milliseconds.
    let expires: UInt64
    let name: String
}

struct AdminAccess {
    /// Tokens at once; the oldest goes first.
    static let tokenLimit = 64
    /// The longest and the usual life of a token, in milliseconds.
    static let longestLife: UInt64 = 7 * 24 * 3_600_000
    static let usualLife: UInt64 = 12 * 3_600_000

    private(set) var tokens: [AdminToken] = []
    /// Those of the configuration: good until a reload brings others.
    private var configured: [AdminToken] = []
    /// The user the gateway runs as; besides root the only one who may use the control socket.
    let user: UInt32

    init(user: UInt32) { self.user = user }

    enum Answer: Equatable {
        case caller(AdminCaller)
        case refused(status: Int, reason: String, why: String)
    }

    /// Decides who asks. What the caller may do is compared afterwards.
    func caller(_ request: AdminRequest, from origin: AdminOrigin, now: UInt64) -> Answer {
        switch origin {
        case .local(let user, let process):
            guard user == self.user || user == 0 else {
                return .refused(status: 403, reason: "Forbidden", why: "user \(user) does not run this gateway")
            }
            return .caller(AdminCaller(role: .admin, name: "user \(user), process \(process)", isLocal: true))
        case .network:
            if let why = AdminAccess.foreign(request) { return .refused(status: 403, reason: "Forbidden", why: why) }
            guard let token = request.token else { return .caller(AdminCaller(role: .anyone, name: "anyone")) }
            guard let known = known(token, now) else {
                return .refused(status: 401, reason: "Unauthorized", why: "the token is not known or no longer good")
            }
            return .caller(AdminCaller(role: known.role, name: "token \(known.name)"))
        }
    }

    /// Takes the tokens of a configuration in the place of those before.
    mutating func configure(_ tokens: [ConfigurationBundle.AdminToken]) {
        configured = tokens.compactMap { token in
            AdminRole(name: token.role).map { AdminToken(secret: token.secret, role: $0, expires: .max, name: token.name) }
        }
    }

    /// Adds a token that the caller hands out.
    mutating func add(_ token: AdminToken, now: UInt64) {
        tokens.removeAll { $0.expires <= now }
        if tokens.count >= AdminAccess.tokenLimit { tokens.removeFirst() }
        tokens.append(token)
    }

    private func known(_ secret: String, _ now: UInt64) -> AdminToken? {
        // Every token is compared, each in the same time wherever it differs.
        var found: AdminToken?
        for token in tokens + configured where AdminAccess.equal(token.secret, secret) && token.expires > now { found = token }
        return found
    }

    /// True in a time that tells nothing about where the two differ.
    static func equal(_ left: String, _ right: String) -> Bool {
        let left = Array(left.utf8)
        let right = Array(right.utf8)
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for index in left.indices { difference |= left[index] ^ right[index] }
        return difference == 0
    }

    /// Why a request looks like one that a foreign page made a browser send; nil when it does not.
    ///
    /// A name in `Host` that is not this machine's address is DNS rebinding; `Origin` and
    /// `Sec-Fetch-Site` are what browsers add and pages cannot change.
    static func foreign(_ request: AdminRequest) -> String? {
        if let site = request.fetchSite, site != "same-origin", site != "none" { return "requests from other sites are refused" }
        if let origin = request.origin, origin != "http://\(request.host)", origin != "https://\(request.host)" {
            return "requests from other origins are refused"
        }
        return request.host.isEmpty || isOwnName(request.host)
            ? nil : "the admin address is asked by its IP address or as localhost, not as \(request.host)"
    }

    private static func isOwnName(_ host: String) -> Bool {
        if host.hasPrefix("[") { return host.contains("]") }
        let name = host.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)[0]
        if name == "localhost" { return true }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }
}
