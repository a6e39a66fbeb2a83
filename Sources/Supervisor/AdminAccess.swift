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
    /// The admin address over TLS, with what the caller showed.
    case encrypted(AdminCertificate?)
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
    /// Certificates that have a role; the first that fits counts.
    private var clients: [ConfigurationBundle.AdminClient] = []
    /// Whether a name is one of the admin address' certificate: nobody else's page is served under it.
    private var isOwnName: (String) -> Bool = { _ in false }
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
        case .network: return remote(request, nil, AdminAccess.foreign(request), now)
        case .encrypted(let certificate):
            // A page of another site cannot have our name: its server would need our certificate.
            return remote(request, certificate, AdminAccess.foreign(request, isOwnName), now)
        }
    }

    /// A token goes before a certificate: it was sent with intent, a browser sends its certificate anywhere.
    private func remote(_ request: AdminRequest, _ certificate: AdminCertificate?, _ foreign: String?, _ now: UInt64) -> Answer {
        if let foreign { return .refused(status: 403, reason: "Forbidden", why: foreign) }
        if let token = request.token {
            guard let known = known(token, now) else {
                return .refused(status: 401, reason: "Unauthorized", why: "the token is not known or no longer good")
            }
            return .caller(AdminCaller(role: known.role, name: "token \(known.name)"))
        }
        guard let certificate else { return .caller(AdminCaller(role: .anyone, name: "anyone")) }
        guard certificate.isVerified else {
            return .caller(AdminCaller(role: .anyone, name: "\(certificate.name), which is not good: expired, or not signed by an authority of `admin: {tls: {client:}}`"))
        }
        guard let client = clients.first(where: { certificate.fits($0) }), let role = AdminRole(name: client.role) else {
            return .caller(AdminCaller(role: .anyone, name: "\(certificate.name), which no entry of `admin: {clients:}` fits"))
        }
        return .caller(AdminCaller(role: role, name: "\(client.name) by \(certificate.name)"))
    }

    /// Takes the certificates of a configuration in the place of those before.
    /// - Parameter isOwnName: whether the admin address' own certificate covers a name.
    mutating func configure(_ clients: [ConfigurationBundle.AdminClient], isOwnName: @escaping (String) -> Bool) {
        self.clients = clients
        self.isOwnName = isOwnName
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
    static func foreign(_ request: AdminRequest, _ isOurs: (String) -> Bool = { _ in false }) -> String? {
        if let site = request.fetchSite, site != "same-origin", site != "none" { return "requests from other sites are refused" }
        if let origin = request.origin, origin != "http://\(request.host)", origin != "https://\(request.host)" {
            return "requests from other origins are refused"
        }
        return request.host.isEmpty || isAddress(request.host) || isOurs(name(request.host))
            ? nil : "the admin address is asked by its IP address, as localhost, or over TLS by a name of its certificate, not as \(request.host)"
    }

    private static func name(_ host: String) -> String {
        String(host.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)[0])
    }

    private static func isAddress(_ host: String) -> Bool {
        if host.hasPrefix("[") { return host.contains("]") }
        let name = name(host)
        if name == "localhost" { return true }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }
}
