import Foundation
import Reactor
import Testing

/// Whole supervisors with real worker processes. Serial: each has several processes.
@Suite(.serialized) struct SupervisorProcessTests {
    private func field(_ answer: String?, _ index: Int) throws -> String {
        let words = try #require(answer).split(separator: " ").map(String.init)
        return try #require(index < words.count ? words[index] : nil)
    }

    /// Asks until the answer has what is wanted; every attempt is a new connection.
    private func askUntil(_ port: UInt16, _ text: String, _ wanted: (String) -> Bool) throws -> String {
        let end = Date().addingTimeInterval(Gateway.patience)
        var last = ""
        while Date() < end {
            if let answer = try? Client(port).ask(text) {
                last = answer
                if wanted(answer) { return answer }
            }
        }
        throw Missing(description: "never answered as wanted, last: \(last)")
    }

    @Test func servesThroughInheritedListenersAndEndsWithStatusZeroOnSIGTERM() throws {
        let gateway = try Gateway(Gateway.plain)
        let port = try #require(gateway.knownPorts["public"])
        let answer = try Client(port).ask("who")
        #expect(try field(answer, 0) == "1")
        #expect(try field(answer, 3) == "public")
        #expect(try field(answer, 4) == "hello")
        gateway.signal(.terminate)
        try gateway.wait("stopped")
        #expect(try gateway.end() == .exited(0))
        #expect((try? Client(port)) == nil)
    }

    @Test func drainingLetsAnOpenConnectionFinish() throws {
        let gateway = try Gateway(Gateway.plain, workers: 1, drain: 20_000)
        let port = try #require(gateway.knownPorts["public"])
        let client = try Client(port)
        _ = try client.ask("who")
        gateway.signal(.interrupt)
        try gateway.wait("draining")
        #expect(try client.ask("run f") == "ran")
        client.hangUp()
        #expect(try gateway.end() == .exited(0))
    }

    @Test func aSecondSignalStopsAtOnceThoughAConnectionIsOpen() throws {
        let gateway = try Gateway(Gateway.plain, workers: 1, drain: 600_000)
        let port = try #require(gateway.knownPorts["public"])
        let client = try Client(port)
        _ = try client.ask("who")
        gateway.signal(.terminate)
        try gateway.wait("draining")
        gateway.signal(.terminate)
        #expect(try gateway.end() == .exited(0))
        #expect(try client.line() == nil)
    }

    @Test func aDrainThatTakesTooLongIsCut() throws {
        let gateway = try Gateway(Gateway.plain, workers: 1, drain: 100)
        let client = try Client(try #require(gateway.knownPorts["public"]))
        _ = try client.ask("who")
        gateway.signal(.terminate)
        try gateway.wait("draining", "did not finish in time")
        #expect(try gateway.end() == .exited(0))
    }

    @Test func aKilledWorkerIsReplacedAndItsListenerKeepsServing() throws {
        let gateway = try Gateway(Gateway.plain, workers: 1)
        let port = try #require(gateway.knownPorts["public"])
        let victim = try #require(Int32(try field(try Client(port).ask("who"), 2)))
        kill(victim, SIGKILL)
        // The socket never closed: this waits in its queue for the new worker.
        let next = try #require(Int32(try field(try Client(port).ask("who"), 2)))
        #expect(next != victim)
        let death = try gateway.wait("worker", "died")
        #expect((death["message"] as? String)?.contains("SIGKILL") == true)
        try gateway.wait("worker", "is ready")
        #expect(!gateway.events.contains { $0["event"] as? String == "strike" })
    }

    @Test func countersSurviveTheWorkerThatCounted() throws {
        let gateway = try Gateway(Gateway.plain, workers: 1)
        let port = try #require(gateway.knownPorts["public"])
        let client = try Client(port)
        for _ in 0..<3 { _ = try client.ask("who") }
        try untilMetrics(gateway, "sluice_requests_total{protocol=\"http/1.1\"} 3")
        _ = try? client.ask("die")
        try gateway.wait("worker", "is ready")
        _ = try Client(port).ask("who")
        try untilMetrics(gateway, "sluice_requests_total{protocol=\"http/1.1\"} 4")
        #expect(try gateway.admin("/metrics").contains("sluice_worker_deaths_total 1\n"))
    }

    private func untilMetrics(_ gateway: Gateway, _ line: String) throws {
        let end = Date().addingTimeInterval(Gateway.patience)
        while Date() < end {
            if try gateway.admin("/metrics").contains(line + "\n") { return }
        }
        throw Missing(description: "metrics never showed \(line)")
    }

    @Test func aHookThatDoesNotStopCostsItsWorkerAndTheSecondTimeIsFencedUntilItsFileChanges() throws {
        let gateway = try Gateway(Gateway.plain, workers: 2)
        let port = try #require(gateway.knownPorts["public"])
        #expect(try Client(port).ask("run f") == "ran")
        _ = try? Client(port).ask("stick f")
        let death = try gateway.wait("worker", "did not stop")
        #expect(death["function"] as? String == "f")
        #expect(death["rule"] as? String == "a rule")
        #expect(death["place"] as? String == "rules.yaml:12")
        #expect(death["request"] as? String == "00000000000000000000000000000007")
        try gateway.wait("strike", "1 strike")
        _ = try askUntil(port, "run f") { $0 == "ran" }
        _ = try? Client(port).ask("stick f")
        try gateway.wait("fence", "function f is fenced")
        // Both workers learn it, the replaced one from its birth.
        for _ in 0..<8 { _ = try askUntil(port, "run f") { $0 == "fenced" } }
        #expect(try gateway.admin("/status").contains("\"fenced\":[\"f\"]"))
        #expect(try Client(port).ask("run g") == "ran")
        try gateway.configure(Gateway.plain.replacingOccurrences(of: "function f 1", with: "function f 2"))
        gateway.signal(.hangup)
        try gateway.wait("reload", "no longer fenced: f")
        for _ in 0..<8 { _ = try askUntil(port, "run f") { $0 == "ran" } }
    }

    @Test func anAbortInsideAHookIsAStrike() throws {
        let gateway = try Gateway(Gateway.plain, workers: 1)
        let port = try #require(gateway.knownPorts["public"])
        _ = try? Client(port).ask("crash h")
        try gateway.wait("worker", "inside hook h")
        try gateway.wait("strike", "function h")
    }

    @Test func aWorkerWhoseLoopStandsStillIsReplacedWithoutBlamingAHook() throws {
        let gateway = try Gateway(Gateway.plain, workers: 1)
        let port = try #require(gateway.knownPorts["public"])
        _ = try? Client(port).ask("freeze")
        try gateway.wait("worker", "its loop stood still")
        try gateway.wait("worker", "is ready")
        #expect(!gateway.events.contains { $0["event"] as? String == "strike" })
    }

    @Test(.enabled(if: ProcessInfo.processInfo.environment["SLUICE_SANITIZER"] == nil, "a sanitizer makes processes so slow that the worker is back before it is asked for"))
    func whileAWorkerWaitsForItsRestartAnotherAcceptsForIt() throws {
        let gateway = try Gateway(Gateway.plain, workers: 2)
        let port = try #require(gateway.knownPorts["public"])
        // Five deaths are forgiven, then it waits 0.5 s, 1 s, 2 s, 4 s.
        for _ in 0..<9 {
            let answer = try askUntil(port, "who") { $0.split(separator: " ")[1] == "0" }
            kill(try #require(Int32(try field(answer, 2))), SIGKILL)
            try gateway.wait("worker", "worker 0 (pid")
        }
        try gateway.wait("backoff", "in 4000 ms")
        // The kernel gives about half of these to the socket of the worker that is away. On a slow machine it may be
        // back before all are asked.
        var lent = 0
        while lent < 40, try field(try Client(port).ask("who"), 1) == "1" { lent += 1 }
        #expect(lent >= 8)
        try gateway.wait("worker", "worker 0 is ready")
        _ = try askUntil(port, "who") { $0.split(separator: " ")[1] == "0" }
    }

    @Test func reloadChangesTheGenerationAndKeepsConnections() throws {
        let gateway = try Gateway(Gateway.plain)
        let port = try #require(gateway.knownPorts["public"])
        let client = try Client(port)
        let before = try client.ask("who")
        gateway.signal(.hangup)
        try gateway.wait("reload", "generation 2 is in use")
        let after = try client.ask("who")
        #expect(try field(after, 0) == "2")
        #expect(try field(after, 2) == field(before, 2))
        #expect(try gateway.admin("/status").contains("\"result\":\"applied\""))
    }

    @Test(arguments: [("broken unknown key \"sitez\"", "sitez"), ("crash", "died"), ("refuse", "told to refuse")])
    func aBadConfigurationChangesNothingAndSaysWhy(_ line: String, _ cause: String) throws {
        let gateway = try Gateway(Gateway.plain)
        let port = try #require(gateway.knownPorts["public"])
        try gateway.configure(Gateway.plain + line + "\n")
        gateway.signal(.hangup)
        let refusal = try gateway.wait("reload", "running configuration (generation 1) was not changed")
        #expect((refusal["message"] as? String)?.contains(cause) == true)
        #expect(try field(try Client(port).ask("who"), 0) == "1")
        #expect(try gateway.admin("/status").contains("\"result\":\"refused\""))
        // And it recovers as soon as the file is good.
        try gateway.configure(Gateway.plain)
        gateway.signal(.hangup)
        try gateway.wait("reload", "is in use")
    }

    @Test func reloadOpensNewAddressesAndClosesRemovedOnes() throws {
        let gateway = try Gateway(Gateway.plain)
        let port = try #require(gateway.knownPorts["public"])
        try gateway.configure("listener extra 127.0.0.1 0\nadmin 127.0.0.1:0\n")
        gateway.signal(.hangup)
        let message = try #require(try gateway.wait("reload", "is in use")["message"] as? String)
        let address = try #require(message.split(separator: " ").first { $0.hasPrefix("127.0.0.1:") })
        let extra = try #require(UInt16(address.split(separator: ":")[1]))
        #expect(try field(try Client(extra).ask("who"), 3) == "extra")
        let end = Date().addingTimeInterval(Gateway.patience)
        while (try? Client(port)) != nil { try #require(Date() < end, "the removed address still accepts") }
    }

    @Test func reloadsLeaveNoDescriptorsBehind() throws {
        let gateway = try Gateway(Gateway.plain)
        _ = gateway.knownPorts
        func reload(_ name: String) throws -> Int {
            try gateway.configure("listener \(name) 127.0.0.1 0\nadmin 127.0.0.1:0\n")
            gateway.signal(.hangup)
            let port = try gateway.wait("reload", "(\(name))")["message"] as? String
            // Answers only when the worker has dealt with all that was sent before.
            let address = try #require(port?.split(separator: " ").first { $0.hasPrefix("127.0.0.1:") })
            _ = try Client(try #require(UInt16(address.split(separator: ":")[1]))).ask("who")
            return try FileManager.default.contentsOfDirectory(atPath: "/proc/\(gateway.pid)/fd").count
        }
        // The process that examined a configuration may still be going when its successor's answer is logged.
        let before = try reload("first")
        for round in 0..<10 { _ = try reload("round\(round)") }
        #expect(abs(try reload("last") - before) <= 3)
    }

    @Test func anAddressInUseRefusesStartAndReloadByName() throws {
        let first = try Gateway(Gateway.plain, workers: 1)
        let port = try #require(first.knownPorts["public"])
        let second = try Gateway("listener mine 127.0.0.1 \(port)\nadmin 127.0.0.1:0\n", workers: 1)
        let error = try second.wait("start", "listener mine on 127.0.0.1:\(port)")
        #expect((error["message"] as? String)?.contains("already in use") == true)
        #expect(try second.end() == .exited(1))
        let third = try Gateway(Gateway.plain, workers: 1)
        _ = try #require(third.knownPorts["public"])
        try third.configure(Gateway.plain + "listener mine 127.0.0.1 \(port)\n")
        third.signal(.hangup)
        try third.wait("reload", "listener mine on 127.0.0.1:\(port)")
    }

    @Test func aFirstConfigurationThatIsBadEndsWithStatusOne() throws {
        let broken = try Gateway("broken here\n")
        try broken.wait("configuration", "conf:1:1: here")
        #expect(try broken.end() == .exited(1))
        let refused = try Gateway(Gateway.plain + "refuse\n")
        try refused.wait("start", "told to refuse")
        #expect(try refused.end() == .exited(1))
    }

    @Test func workersDoNotOutliveAKilledSupervisor() throws {
        let gateway = try Gateway(Gateway.plain)
        let port = try #require(gateway.knownPorts["public"])
        let client = try Client(port)
        _ = try client.ask("who")
        gateway.signal(.kill)
        #expect(try client.line() == nil)
        let end = Date().addingTimeInterval(Gateway.patience)
        while (try? Client(port)) != nil { try #require(Date() < end, "somebody still listens") }
    }

    @Test func aTestLeavesNoDeadChildBehind() throws {
        let pid = try {
            let gateway = try Gateway(Gateway.plain)
            _ = gateway.knownPorts
            return gateway.pid
        }()
        #expect(!FileManager.default.fileExists(atPath: "/proc/\(pid)"))
    }

    @Test func theAdminAddressAnswersItsPagesAndRefusesTheRest() throws {
        let gateway = try Gateway(Gateway.plain)
        _ = gateway.knownPorts
        #expect(try gateway.admin("/healthz").hasSuffix("\r\n\r\nok\n"))
        #expect(try gateway.admin("/readyz").contains("serving: 2 of 2 workers ready"))
        #expect(try gateway.admin("/nothing").hasPrefix("HTTP/1.1 404 "))
        let status = try gateway.admin("/status")
        let body = try #require(status.components(separatedBy: "\r\n\r\n").last)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any])
        #expect(object["generation"] as? Int == 1)
        #expect((object["workers"] as? [Any])?.count == 2)
        #expect(object["pid"] as? Int == Int(gateway.pid))
        let client = try Client(try #require(gateway.knownPorts["admin"]))
        try client.send("POST /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        #expect(try client.readAll().hasPrefix("HTTP/1.1 405 "))
    }
}
