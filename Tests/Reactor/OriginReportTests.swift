import Testing

@testable import Reactor

@Suite struct OriginReportTests {
    private func report(_ upstream: String, _ server: String, _ fill: (inout OriginReport) -> Void = { _ in }) -> OriginReport {
        var report = OriginReport(upstream: upstream, server: server)
        fill(&report)
        return report
    }

    @Test func bytesLeadBackToTheSameReports() throws {
        let reports = [
            report("a", "10.0.0.1:80") { ($0.active, $0.waiting, $0.open, $0.idle, $0.check, $0.ejectedFor) = (1, 2, 3, 4, .failing, 5) },
            report("", "[::1]:443") { $0.check = .passing },
        ]
        var report = WorkerReport()
        report.origins = reports
        var function = FunctionReport(name: "f")
        (function.heap, function.isolates, function.outside) = (1 << 40, 2, 3)
        report.functions = [function]
        #expect(try WorkerReport(decoding: report.encoded()) == report)
        #expect(throws: PacketError.self) { try WorkerReport(decoding: [1, 2, 3]) }
        report.add(report)
        #expect(report.functions[0].heap == 1 << 41 && report.functions.count == 1 && report.origins.count == 2)
    }

    @Test func whatWorkersSayOfTheSameServerIsAddedAndBadNewsCount() {
        let merged = OriginReport.merged([
            report("a", "x") { ($0.active, $0.check) = (1, .passing) }, report("b", "x"),
            report("a", "x") { ($0.active, $0.check, $0.ejectedFor) = (2, .failing, 7) }, report("a", "y"),
        ])
        #expect(merged.map(\.upstream) == ["a", "b", "a"])
        #expect(merged.map(\.server) == ["x", "x", "y"])
        #expect(merged[0].active == 3 && merged[0].check == .failing && merged[0].ejectedFor == 7)
        #expect(merged.map(\.isUp) == [false, true, true])
    }

    @Test func numbersOfAWorkerThatLiesEndNobody() {
        var lies = WorkerReport()
        lies.origins = (0..<2).map { _ in report("a", "x") { ($0.active, $0.waiting, $0.open, $0.idle, $0.ejectedFor) = (.max, .max, .max, .max, .max) } }
        var function = FunctionReport(name: "f")
        (function.heap, function.isolates, function.outside) = (.max, .max, .max)
        lies.functions = [function, function]
        lies.add(lies)
        #expect(lies.origins.count == 1 && lies.functions.count == 1)
    }
}
