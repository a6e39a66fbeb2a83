import Telemetry
import Testing

@Suite struct LatencyScaleTests {
    @Test func everyDurationFallsBelowItsBoundAndNotBelowTheOneBefore() {
        var values: [UInt64] = [0, 1, 15, 16, 17, 19, 20, 31, 32, 33_554_431, 33_554_432, .max]
        for shift in UInt64(5)..<25 { values += [1 << shift - 1, 1 << shift, 1 << shift + 1, 3 << (shift - 1), 5 << (shift - 2)] }
        for value in values {
            let bucket = LatencyScale.bucket(value)
            #expect((0..<LatencyScale.bucketCount).contains(bucket))
            #expect(value < LatencyScale.upperBound(bucket) || bucket == LatencyScale.bucketCount - 1, "\(value)")
            if bucket > 0 { #expect(value >= LatencyScale.upperBound(bucket - 1), "\(value)") }
        }
    }

    @Test func boundsGrowByAQuarterAtMost() {
        for bucket in 1..<(LatencyScale.bucketCount - 1) {
            let (below, above) = (LatencyScale.upperBound(bucket - 1), LatencyScale.upperBound(bucket))
            #expect(above > below && Double(above) / Double(below) <= 1.2501, "\(bucket)")
        }
    }

    @Test func percentilesAreBoundsOfTheBucketsThatHoldThem() {
        var buckets = [UInt64](repeating: 0, count: LatencyScale.bucketCount)
        #expect(LatencyScale.percentile(0.5, buckets[...]) == nil)
        buckets[LatencyScale.bucket(100)] = 990
        buckets[LatencyScale.bucket(5_000)] = 9
        buckets[LatencyScale.bucket(70_000_000)] = 1
        #expect(LatencyScale.percentile(0.5, buckets[...]) == LatencyScale.upperBound(LatencyScale.bucket(100)))
        #expect(LatencyScale.percentile(0.99, buckets[...]) == LatencyScale.upperBound(LatencyScale.bucket(100)))
        #expect(LatencyScale.percentile(0.995, buckets[...]) == LatencyScale.upperBound(LatencyScale.bucket(5_000)))
        #expect(LatencyScale.percentile(1, buckets[...]) == LatencyScale.upperBound(LatencyScale.bucketCount - 2))
    }
}

@Suite struct SeriesTextTests {
    private func words(_ set: (inout [UInt64]) -> Void) -> [UInt64] {
        var words = [UInt64](repeating: 0, count: SeriesCount.wordCount)
        set(&words)
        return words
    }

    @Test func sitesAndServersAreWrittenWithTheirLabels() {
        let site = NamedSeries(kind: .site, name: "a \"b\"", words: words {
            $0[SeriesCount.status2xx.rawValue] = 3
            $0[SeriesCount.bytesOut.rawValue] = 44
            $0[SeriesCount.room + LatencyScale.bucket(100)] = 3
            $0[SeriesCount.durationSum] = 300
        })
        let server = NamedSeries(kind: .server, name: "shop 10.0.0.1:80", words: words { $0[SeriesCount.status5xx.rawValue] = 2 })
        let function = NamedSeries(kind: .function, name: "f", words: words { $0[SeriesCount.cpuMicroseconds.rawValue] = 2_500_000 })
        var out = PrometheusText()
        out.append([site, function, server])
        let lines = Set(out.text.split(separator: "\n").map(String.init))
        #expect(lines.contains(#"sluice_site_requests_total{site="a \"b\"",class="2xx"} 3"#))
        #expect(lines.contains(#"sluice_site_bytes_total{site="a \"b\"",direction="out"} 44"#))
        #expect(lines.contains(#"sluice_site_request_duration_seconds_count{site="a \"b\""} 3"#))
        #expect(lines.contains(#"sluice_site_request_duration_seconds_sum{site="a \"b\""} 0.0003"#))
        #expect(lines.contains(#"sluice_site_request_duration_seconds_bucket{site="a \"b\"",le="+Inf"} 3"#))
        #expect(lines.contains(#"sluice_server_requests_total{upstream="shop",server="10.0.0.1:80",class="5xx"} 2"#))
        #expect(lines.contains(#"sluice_function_cpu_seconds_total{function="f"} 2.5"#))
    }

    @Test func bucketsNeverFall() {
        let site = NamedSeries(kind: .site, name: "s", words: words { words in
            for bucket in 0..<LatencyScale.bucketCount { words[SeriesCount.room + bucket] = UInt64(bucket) }
        })
        var out = PrometheusText()
        out.append([site])
        let counts = out.text.split(separator: "\n").filter { $0.contains("_bucket{") }.compactMap { UInt64($0.split(separator: " ").last ?? "") }
        #expect(counts == counts.sorted() && counts.last == (0..<UInt64(LatencyScale.bucketCount)).reduce(0, +))
    }
}
