import Telemetry
import Testing

@Suite struct MetricsTests {
    @Test func catalogueListsEveryCounterInItsOwnPlace() {
        #expect(Counter.catalogue.map(\.counter) == Counter.allCases)
        #expect(Counter.count == Counter.allCases.count)
    }

    @Test func wordsFitTheirCapacityAndHistogramsDoNotOverlap() {
        #expect(Metrics.wordCount <= Metrics.capacity)
        var next = Counter.count
        for histogram in Histogram.allCases {
            #expect(histogram.firstWord == next)
            next += Histogram.wordCount
        }
        #expect(next == Metrics.wordCount)
        #expect(Histogram.wordCount == Histogram.bounds.count + 2)
    }

    @Test func seriesOfOneFamilyStandTogetherAndDifferInLabels() {
        var finished: Set<String> = []
        var current = ""
        var seen: Set<String> = []
        for series in Counter.catalogue {
            if series.family.name != current {
                #expect(!finished.contains(series.family.name))
                finished.insert(current)
                current = series.family.name
            }
            #expect(seen.insert(series.family.name + series.labels).inserted)
            #expect(series.family.kind == .gauge || series.family.name.hasSuffix("_total"))
        }
    }

    @Test func bucketAgreesWithTheListedBounds() {
        for (index, bound) in Histogram.bounds.enumerated() {
            #expect(Histogram.bucket(bound) == index)
            #expect(Histogram.bucket(bound + 1) == index + 1)
        }
        #expect(Histogram.bucket(0) == 0)
        #expect(Histogram.bucket(.max) == Histogram.bounds.count)
    }

    @Test func addSubtractSetAndObserveReachTheirWords() {
        let metrics = Metrics()
        metrics.add(.requestsHTTP2)
        metrics.add(.forwardedRequest, 4096)
        metrics.add(.connectionsActive)
        metrics.add(.connectionsActive)
        metrics.subtract(.connectionsActive)
        metrics.set(.slabsLive, 7)
        metrics.observe(.hookTime, microseconds: 120)
        #expect(metrics[.requestsHTTP2] == 1)
        #expect(metrics[.forwardedRequest] == 4096)
        #expect(metrics[.connectionsActive] == 1)
        #expect(metrics[.slabsLive] == 7)
        let words = metrics.withWords { span in (0..<span.count).map { span[$0] } }
        #expect(words.count == Metrics.wordCount)
        #expect(words[Histogram.hookTime.firstWord + 2] == 1)
        #expect(words[Histogram.hookTime.firstWord + Histogram.wordCount - 1] == 120)
    }

    @Test func countersOfADeadWorkerStayAndItsGaugesGo() {
        let dead = Metrics()
        dead.add(.requestsHTTP11, 5)
        dead.add(.connectionsActive, 3)
        dead.observe(.requestDuration, microseconds: 10)
        let live = Metrics()
        live.add(.requestsHTTP11, 2)
        live.add(.connectionsActive, 1)
        var totals = MetricTotals()
        dead.withWords { totals.addRetired($0) }
        live.withWords { totals.add($0) }
        #expect(totals[.requestsHTTP11] == 7)
        #expect(totals[.connectionsActive] == 1)
        #expect(totals.words[Histogram.requestDuration.firstWord] == 1)
    }
}

@Suite struct PrometheusTextTests {
    @Test func familyAndSamplesHaveTheExactTextFormat() {
        var out = PrometheusText()
        out.begin(MetricFamily("sluice_x_total", .counter, "Back\\slash and\nline."))
        out.sample("sluice_x_total", "name=\"\(PrometheusText.escapedLabel("a\"b\\c\nd"))\"", "3")
        out.single(MetricFamily("sluice_up", .gauge, "Up."), 1)
        #expect(
            out.text == """
                # HELP sluice_x_total Back\\\\slash and\\nline.
                # TYPE sluice_x_total counter
                sluice_x_total{name="a\\"b\\\\c\\nd"} 3
                # HELP sluice_up Up.
                # TYPE sluice_up gauge
                sluice_up 1

                """)
    }

    @Test func microsecondsAreWrittenAsExactSeconds() {
        #expect(PrometheusText.seconds(0) == "0")
        #expect(PrometheusText.seconds(50) == "0.00005")
        #expect(PrometheusText.seconds(2_500) == "0.0025")
        #expect(PrometheusText.seconds(1_000_000) == "1")
        #expect(PrometheusText.seconds(12_340_001) == "12.340001")
    }

    @Test func totalsRenderEachFamilyOnceWithCumulativeBuckets() throws {
        let metrics = Metrics()
        metrics.add(.requestsHTTP10, 1)
        metrics.add(.requestsHTTP11, 2)
        metrics.observe(.requestDuration, microseconds: 40)
        metrics.observe(.requestDuration, microseconds: 90)
        metrics.observe(.requestDuration, microseconds: 99_000_000)
        var totals = MetricTotals()
        metrics.withWords { totals.add($0) }
        var out = PrometheusText()
        out.append(totals)
        let lines = out.text.split(separator: "\n").map(String.init)
        #expect(
            Array(lines.prefix(5)) == [
                "# HELP sluice_requests_total Requests whose head was read, by protocol.",
                "# TYPE sluice_requests_total counter",
                "sluice_requests_total{protocol=\"http/1.0\"} 1",
                "sluice_requests_total{protocol=\"http/1.1\"} 2",
                "sluice_requests_total{protocol=\"h2\"} 0",
            ])
        let start = try #require(lines.firstIndex(of: "# TYPE sluice_request_duration_seconds histogram"))
        #expect(lines[start + 1] == "sluice_request_duration_seconds_bucket{le=\"0.00005\"} 1")
        #expect(lines[start + 2] == "sluice_request_duration_seconds_bucket{le=\"0.0001\"} 2")
        #expect(lines[start + 17] == "sluice_request_duration_seconds_bucket{le=\"10\"} 2")
        #expect(lines[start + 18] == "sluice_request_duration_seconds_bucket{le=\"+Inf\"} 3")
        #expect(lines[start + 19] == "sluice_request_duration_seconds_sum 99.00013")
        #expect(lines[start + 20] == "sluice_request_duration_seconds_count 3")
        let types = lines.filter { $0.hasPrefix("# TYPE") }
        #expect(Set(types).count == types.count)
    }
}
