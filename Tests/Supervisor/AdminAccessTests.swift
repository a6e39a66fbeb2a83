import Reactor
import Testing

@testable import Supervisor

@Suite struct AdminAccessTests {
    private func caller(_ request: AdminRequest, _ origin: AdminOrigin = .network, _ access: AdminAccess = AdminAccess(user: 7)) -> AdminAccess.Answer {
        access.caller(request, from: origin, now: 1000)
    }

    private func status(_ answer: AdminAccess.Answer) -> Int? {
        if case .refused(let status, _, _) = answer { return status }
        return nil
    }

    @Test func theControlSocketIsForTheGatewaysUserAndRoot() {
        let request = AdminRequest(path: "/status")
        #expect(caller(request, .local(user: 7, process: 1)) == .caller(AdminCaller(role: .admin, name: "user 7, process 1", isLocal: true)))
        #expect(caller(request, .local(user: 0, process: 1)) == .caller(AdminCaller(role: .admin, name: "user 0, process 1", isLocal: true)))
        #expect(status(caller(request, .local(user: 8, process: 1))) == 403)
    }

    @Test func withoutATokenTheNetworkIsAnyone() {
        #expect(caller(AdminRequest(path: "/metrics", host: "127.0.0.1:9901")) == .caller(AdminCaller(role: .anyone, name: "anyone")))
    }

    @Test(arguments: [
        AdminRequest(path: "/metrics", host: "evil.example"),
        AdminRequest(path: "/metrics", host: "127.0.0.1.evil.example"),
        AdminRequest(path: "/metrics", host: "localhost.evil.example:9901"),
        AdminRequest(path: "/metrics", host: "127.0.0.1:9901", origin: "http://evil.example"),
        AdminRequest(path: "/metrics", host: "127.0.0.1:9901", origin: "null"),
        AdminRequest(path: "/metrics", host: "127.0.0.1:9901", fetchSite: "cross-site"),
        AdminRequest(path: "/metrics", host: "127.0.0.1:9901", fetchSite: "same-site"),
    ])
    func whatAForeignPageCanSendIsRefused(_ request: AdminRequest) {
        #expect(status(caller(request)) == 403)
    }

    @Test(arguments: ["127.0.0.1", "127.0.0.1:9901", "localhost:9901", "[::1]:9901", ""])
    func addressesOfThisMachineAreServed(_ host: String) {
        #expect(status(caller(AdminRequest(path: "/metrics", host: host, fetchSite: "same-origin"))) == nil)
    }

    @Test func aTokenGivesItsRoleUntilItExpires() {
        var access = AdminAccess(user: 7)
        access.add(AdminToken(secret: "abcdef", role: .operate, expires: 1001, name: "ci"), now: 0)
        let request = AdminRequest(path: "/v1/reload", host: "localhost", token: "abcdef")
        #expect(access.caller(request, from: .network, now: 1000) == .caller(AdminCaller(role: .operate, name: "token ci")))
        #expect(status(access.caller(request, from: .network, now: 1001)) == 401)
        for wrong in ["", "abcdeg", "abcde", "abcdeff"] {
            #expect(status(caller(AdminRequest(path: "/", host: "localhost", token: wrong), .network, access)) == 401, "\(wrong)")
        }
    }

    @Test func tokensOfTheConfigurationLastUntilAnotherOneHasOthers() {
        var access = AdminAccess(user: 7)
        access.configure([.init(name: "scraper", role: "read", secret: "one"), .init(name: "broken", role: "anyone-else", secret: "two")])
        func role(_ token: String) -> AdminRole? {
            guard case .caller(let caller) = access.caller(AdminRequest(path: "/", host: "localhost", token: token), from: .network, now: .max - 1)
            else { return nil }
            return caller.role
        }
        #expect(role("one") == .read && role("two") == nil)
        access.configure([.init(name: "deploy", role: "operate", secret: "three")])
        #expect(role("one") == nil && role("three") == .operate)
    }

    @Test func theOldestTokenMakesRoom() {
        var access = AdminAccess(user: 7)
        for index in 0...AdminAccess.tokenLimit {
            access.add(AdminToken(secret: "secret\(index)", role: .read, expires: 5000, name: "n"), now: 0)
        }
        #expect(access.tokens.count == AdminAccess.tokenLimit)
        #expect(status(caller(AdminRequest(path: "/", host: "localhost", token: "secret0"), .network, access)) == 401)
        #expect(status(caller(AdminRequest(path: "/", host: "localhost", token: "secret1"), .network, access)) == nil)
    }

    @Test func rolesAreOrdered() {
        #expect(AdminRole(name: "operate") == .operate)
        #expect(AdminRole(name: "root") == nil)
        #expect(AdminRole.anyone < .read && AdminRole.read < .operate && AdminRole.operate < .admin)
    }

    @Test func everyRouteThatChangesSomethingIsAPostAboveReading() {
        for route in Supervisor.adminRoutes {
            #expect((route.method == .post) == (route.role >= .operate), "\(route.path)")
        }
    }

    // MARK: Certificates

    private func certified(_ fill: (inout ConfigurationBundle.AdminClient) -> Void) -> AdminAccess {
        var client = ConfigurationBundle.AdminClient(name: "alice", role: "operate")
        fill(&client)
        var access = AdminAccess(user: 7)
        access.configure([client]) { $0 == "gateway.example" }
        return access
    }

    private func role(_ access: AdminAccess, _ certificate: AdminCertificate?, host: String = "localhost", token: String? = nil) -> AdminRole? {
        let request = AdminRequest(path: "/", host: host, token: token)
        guard case .caller(let caller) = access.caller(request, from: .encrypted(certificate), now: 1) else { return nil }
        return caller.role
    }

    @Test func aCertificateHasTheRoleOfTheEntryThatItFitsInWhole() {
        let good = AdminCertificate(subject: "CN=alice", alternativeNames: ["DNS:Ops.example", "URI:spiffe://a/b"], fingerprint: "aa", isVerified: true)
        #expect(role(certified { $0.subject = "CN=alice" }, good) == .operate)
        #expect(role(certified { $0.alternativeName = "DNS:ops.example" }, good) == .operate)
        #expect(role(certified { $0.alternativeName = "URI:spiffe://a/b" }, good) == .operate)
        #expect(role(certified { $0.alternativeName = "URI:spiffe://A/b" }, good) == .anyone)
        #expect(role(certified { $0.fingerprint = "aa" }, good) == .operate)
        #expect(role(certified { ($0.subject, $0.fingerprint) = ("CN=alice", "bb") }, good) == .anyone)
        #expect(role(certified { $0.subject = "CN=alic" }, good) == .anyone)
        #expect(role(certified { _ in }, good) == .anyone)
        #expect(role(certified { $0.subject = "CN=alice" }, nil) == .anyone)
    }

    @Test func aCertificateThatIsNotGoodGivesNothing() {
        let bad = AdminCertificate(subject: "CN=alice", fingerprint: "aa", isVerified: false)
        #expect(role(certified { $0.subject = "CN=alice" }, bad) == .anyone)
    }

    @Test func aTokenGoesBeforeTheCertificate() {
        let good = AdminCertificate(subject: "CN=alice", fingerprint: "aa", isVerified: true)
        var access = certified { $0.subject = "CN=alice" }
        access.add(AdminToken(secret: "abcdef", role: .read, expires: 1000, name: "graphs"), now: 0)
        #expect(role(access, good, token: "abcdef") == .read)
        #expect(role(access, good, token: "wrong") == nil)
    }

    @Test func overTLSTheNamesOfTheCertificateAreOursAndNoOthers() {
        let access = certified { $0.subject = "CN=alice" }
        #expect(role(access, nil, host: "gateway.example:9901") == .anyone)
        #expect(role(access, nil, host: "evil.example") == nil)
        #expect(status(access.caller(AdminRequest(path: "/", host: "gateway.example"), from: .network, now: 1)) == 403)
    }
}
