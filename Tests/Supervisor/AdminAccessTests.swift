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
}
