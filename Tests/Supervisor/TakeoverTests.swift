@testable import Reactor
@testable import Supervisor
import Foundation
import Telemetry
import Testing

@Suite struct TakeoverTests {
    private let listener = ConfigurationBundle.Listener(name: "plain", address: "127.0.0.1", port: 0)

    @Test func everyMessageComesBackAsItWas() throws {
        let all: [TakeoverMessage] = [
            .shared, .listener(configured: listener, port: .max, index: 3), .listener(configured: listener, port: 1, index: -1),
            .admin(name: "127.0.0.1:0", endpoint: "127.0.0.1:0"), .facts(["generation": "7", "": ""]),
            .strikes(function: "f", fingerprint: .max, strikes: 1, cordonStrikes: 9, moved: true),
            .token(secret: "s", role: "read", name: "n", expires: 12), .end, .totals(["sluice_x_total{}": .max]),
        ]
        for message in all { #expect(try TakeoverMessage.decode(message.encoded()) == message) }
    }

    @Test func whatANewerVersionSaysBeyondOurWordsIsSkipped() throws {
        #expect(try TakeoverMessage.decode([200, 1, 2, 3]) == nil)
        #expect(try TakeoverMessage.decode(TakeoverMessage.end.encoded() + [1, 2, 3]) == .end)
        #expect(throws: PacketError.self) { try TakeoverMessage.decode([2, 0]) }
        #expect(throws: PacketError.self) { try TakeoverMessage.decode([]) }
    }

    @Test func theAnswersOfASuccessorNeverChangeTheirBytes() {
        #expect(WorkerMessage.ready(generation: 2).encoded() == [1, 2, 0, 0, 0, 0, 0, 0, 0])
        #expect(WorkerMessage.refused(generation: 0, reason: "no").encoded() == [2] + Array(repeating: 0, count: 8) + [2, 0, 0, 0, 0, 0, 0, 0, 0x6e, 0x6f])
    }

    @Test func countersAreFoundByNameAndGaugesAreNot() {
        let metrics = Metrics()
        metrics.add(.requestsHTTP11, 5)
        metrics.add(.connectionsActive, 3)
        metrics.observe(.requestDuration, microseconds: 70)
        var totals = MetricTotals()
        metrics.withWords { totals.add($0) }
        let named = totals.named
        #expect(named["sluice_requests_total{protocol=\"http/1.1\"}"] == 5)
        #expect(!named.keys.contains { $0.contains("connections_active") })
        let again = MetricTotals(named: named.merging(["sluice_of_another_version_total{}": 9]) { $1 })
        #expect(again.named == named)
        #expect(again[.connectionsActive] == 0)
    }

    // MARK: Sockets

    private func socket(_ name: String) throws -> (ConfigurationBundle.Listener, Int32) {
        let wanted = ConfigurationBundle.Listener(name: name, address: "127.0.0.1", port: 0)
        let (sockets, port) = try ListeningSocket.openGroup(wanted, count: 1)
        return (.init(name: name, address: "127.0.0.1", port: port), sockets[0])
    }

    @Test func aPredecessorsSocketsAreTakenOnceAndFilledUp() throws {
        let (known, first) = try socket("plain")
        var handed = HandedSockets()
        handed.offer(known, port: known.port, first)
        let taken = try #require(try handed.take(for: known, workers: 3))
        #expect(taken.1.count == 3 && taken.1.contains(first) && taken.0 == known)
        #expect(taken.1.allSatisfy { ListeningSocket.endpoint(of: $0)?.port == known.port })
        #expect(try handed.take(for: known, workers: 1) == nil)
        taken.1.forEach(ListeningSocket.close)
    }

    @Test func aPortOfTheKernelsChoiceIsKnownByTheListenersName() throws {
        let (actual, first) = try socket("plain")
        var handed = HandedSockets()
        handed.offer(listener, port: actual.port, first)
        var other = listener
        other.name = "other"
        #expect(try handed.take(for: other, workers: 1) == nil)
        #expect(try handed.take(for: listener, workers: 1)?.0.port == actual.port)
        ListeningSocket.close(first)
    }

    @Test func aServiceManagersSocketIsCopiedForEachWorkerAndStays() throws {
        let (actual, first) = try socket("x")
        var handed = HandedSockets(activated: [.init(name: "web", address: "127.0.0.1", port: actual.port, descriptor: first)])
        for wanted in [ConfigurationBundle.Listener(name: "web", address: "0.0.0.0", port: 443), actual] {
            let taken = try #require(try handed.take(for: wanted, workers: 2))
            #expect(taken.0.port == actual.port && taken.1.count == 2 && !taken.1.contains(first))
            taken.1.forEach(ListeningSocket.close)
        }
        #expect(ListeningSocket.endpoint(of: first) != nil)
        handed.closeAll()
    }

    @Test func socketsAreCountedForTheProcessTheyAreMeantFor() {
        func numbers(_ pid: String?, _ count: String?, _ names: String?) -> [String] {
            ActivatedSockets.numbers(pid: pid, count: count, names: names, ourPID: 7).map { "\($0.number)=\($0.name)" }
        }
        #expect(numbers("7", "2", "web:api") == ["3=web", "4=api"])
        #expect(numbers("7", "2", nil) == ["3=unknown", "4=unknown"])
        for (pid, count) in [("8", "1"), ("7", "-1"), ("7", "x"), ("7", "100000"), ("", "1")] { #expect(numbers(pid, count, nil) == []) }
        #expect(numbers(nil, "1", nil) == [])
        #expect(ListeningSocket.endpoint(of: 0) == nil)
    }

    // MARK: Crash reports

    @Test func namesOfReportsSortByTime() {
        let first = CrashReports.name(time: "2026-01-31T09:00:00.001Z", pid: 99999)
        let second = CrashReports.name(time: "2026-01-31T10:00:00.000Z", pid: 1)
        #expect(first == "crash-20260131090000001-99999.json" && first < second)
    }

    @Test func aReportIsForItsOwnerOnlyAndNeverOverwritten() throws {
        let folder = NSTemporaryDirectory() + "sluice-crash-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var reports = CrashReports(folder)
        let path = try #require(try reports.write(time: "2026-01-31T09:00:00.001Z", pid: 1) { $0.field("worker", 1) })
        #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o600)
        #expect(throws: SystemError.self) { try reports.write(time: "2026-01-31T09:00:00.001Z", pid: 1) { $0.field("worker", 2) } }
        var none = CrashReports("off")
        #expect(try none.write(time: "", pid: 1) { _ in } == nil)
    }
}
