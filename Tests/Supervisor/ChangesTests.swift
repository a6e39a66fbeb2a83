import Reactor
import Testing
@testable import Supervisor

@Suite struct ChangesTests {
    private func bundle(_ parts: [(String, String, UInt64, String)], files: [String: String] = [:]) -> ConfigurationBundle {
        ConfigurationBundle(
            mainFile: "rules.yaml", listeners: [],
            parts: parts.map { .init(kind: $0.0, name: $0.1, digest: $0.2, group: $0.3) },
            files: files.sorted { $0.key < $1.key }.map { .init(path: $0.key, bytes: Array($0.value.utf8)) })
    }

    private let group = "shop, request rules"

    @Test func `rules are told one by one`() {
        let old = bundle([("upstream", "a", 1, ""), ("rule", "shop/one", 1, group), ("rule", "shop/two", 2, group), ("rule", "shop/old", 3, group)])
        let new = bundle([("upstream", "a", 9, ""), ("rule", "shop/one", 1, group), ("rule", "shop/two", 8, group), ("rule", "shop/new", 3, group)])
        #expect(ConfigurationChanges(from: old, to: new).lines == [
            "changed upstream a", "changed rule shop/two (shop, request rules)", "added rule shop/new (shop, request rules)",
            "removed rule shop/old (shop, request rules)",
        ])
        #expect(ConfigurationChanges(from: old, to: old).lines == [])
    }

    @Test func `the same rules in another order are a change`() {
        let old = bundle([("rule", "shop/one", 1, group), ("rule", "shop/two", 2, group)])
        let new = bundle([("rule", "shop/two", 2, group), ("rule", "shop/zero", 0, group), ("rule", "shop/one", 1, group)])
        #expect(ConfigurationChanges(from: old, to: new).lines == [
            "added rule shop/zero (shop, request rules)", "changed the order of shop, request rules",
        ])
    }

    @Test func `a rule of the same name in another phase is another rule`() {
        let old = bundle([("rule", "shop/mark", 1, group)])
        let new = bundle([("rule", "shop/mark", 1, group), ("rule", "shop/mark", 2, "shop, response rules")])
        #expect(ConfigurationChanges(from: old, to: new).lines == ["added rule shop/mark (shop, response rules)"])
    }

    @Test func `files are told unless their parts were`() {
        let old = bundle([("rule", "shop/one", 1, group)], files: ["rules.yaml": "a", "hooks/a.js": "1", "gone.pem": "x"])
        let hook = bundle([("rule", "shop/one", 1, group)], files: ["rules.yaml": "a", "hooks/a.js": "2", "new.pem": "y"])
        #expect(ConfigurationChanges(from: old, to: hook).lines == ["changed file hooks/a.js", "added file new.pem", "removed file gone.pem"])
        let rule = bundle([("rule", "shop/one", 2, group)], files: ["rules.yaml": "b", "hooks/a.js": "1", "gone.pem": "x"])
        #expect(ConfigurationChanges(from: old, to: rule).lines == ["changed rule shop/one (shop, request rules)"])
        let comment = bundle([("rule", "shop/one", 1, group)], files: ["rules.yaml": "a #", "hooks/a.js": "1", "gone.pem": "x"])
        #expect(ConfigurationChanges(from: old, to: comment).lines == ["changed file rules.yaml"])
    }

    @Test func `staleness reminds every five minutes and ends with a good configuration`() {
        var staleness = Staleness()
        #expect(!staleness.isStale)
        staleness.refused(now: 1_000)
        #expect(staleness.isStale)
        #expect(staleness.minutesToRemindOf(now: 300_999) == nil)
        #expect(staleness.minutesToRemindOf(now: 301_000) == 5)
        #expect(staleness.minutesToRemindOf(now: 302_000) == nil)
        staleness.refused(now: 400_000)
        #expect(staleness.minutesToRemindOf(now: 700_000) == 11)
        staleness.applied()
        #expect(staleness.minutesToRemindOf(now: 9_000_000) == nil)
        #expect(!staleness.isStale)
    }

    @Test func `paths are taken apart as the system does`() {
        #expect(ConfigurationWatch.split("rules.yaml") == (".", "rules.yaml"))
        #expect(ConfigurationWatch.split("/rules.yaml") == ("/", "rules.yaml"))
        #expect(ConfigurationWatch.split("conf/sites/a.yaml") == ("conf/sites", "a.yaml"))
    }
}
