/// A Prometheus metric family: the samples that share a name.
public struct MetricFamily: Sendable, Equatable {
    public enum Kind: String, Sendable { case counter, gauge, histogram }

    public let name: String
    public let kind: Kind
    public let help: String

    public init(_ name: String, _ kind: Kind, _ help: String) {
        self.name = name
        self.kind = kind
        self.help = help
    }
}

/// What one counter is called outside: family, and at most one label.
public struct CounterSeries: Sendable {
    public let counter: Counter
    public let family: MetricFamily
    /// `key="value"` without braces, empty when the family has one series only.
    public let labels: String
}

extension Counter {
    /// All series in the order of `Counter.allCases`; series of one family stand next to each other.
    public static let catalogue: [CounterSeries] = traffic + connections + origins + programs + bytes + work

    /// Gauges say how it is now; they are forgotten with the worker that set them.
    public var isGauge: Bool { Counter.catalogue[rawValue].family.kind == .gauge }

    private static func series(
        _ name: String, _ kind: MetricFamily.Kind, _ help: String, _ label: String, _ values: [(Counter, String)]
    ) -> [CounterSeries] {
        let family = MetricFamily("sluice_" + name, kind, help)
        return values.map { CounterSeries(counter: $0.0, family: family, labels: "\(label)=\"\($0.1)\"") }
    }

    private static func one(
        _ counter: Counter, _ name: String, _ kind: MetricFamily.Kind, _ help: String
    ) -> [CounterSeries] {
        [CounterSeries(counter: counter, family: MetricFamily("sluice_" + name, kind, help), labels: "")]
    }

    private static var traffic: [CounterSeries] {
        series(
            "requests_total", .counter, "Requests whose head was read, by protocol.", "protocol",
            [(.requestsHTTP10, "http/1.0"), (.requestsHTTP11, "http/1.1"), (.requestsHTTP2, "h2")])
            + one(.requestsActive, "requests_active", .gauge, "Requests being served now.")
            + series(
                "responses_total", .counter, "Final and interim responses sent, by status class.", "class",
                [
                    (.responses1xx, "1xx"), (.responses2xx, "2xx"), (.responses3xx, "3xx"),
                    (.responses4xx, "4xx"), (.responses5xx, "5xx"), (.responsesNone, "none"),
                ])
            + series(
                "errors_total", .counter, "Exchanges the gateway answered with an error, by whose fault it was.", "side",
                [(.errorsClient, "client"), (.errorsOrigin, "origin"), (.errorsGateway, "gateway")])
            + one(.tunnelsOpened, "tunnels_total", .counter, "Upgraded connections (WebSocket) passed through.")
            + one(.tunnelsActive, "tunnels_active", .gauge, "Upgraded connections open now.")
            + series(
                "grpc_calls_total", .counter, "Calls of gRPC, by what their status says: `server` is what stands for 500 and more, `none` was cut.", "result",
                [(.grpcSucceeded, "ok"), (.grpcFaultOfClient, "client"), (.grpcFaultOfServer, "server"), (.grpcWithoutStatus, "none")])
    }

    private static var connections: [CounterSeries] {
        series(
            "connections_accepted_total", .counter, "Client connections accepted.", "transport",
            [(.connectionsAcceptedPlain, "plain"), (.connectionsAcceptedTLS, "tls")])
            + one(.connectionsActive, "connections_active", .gauge, "Client connections open now.")
            + one(.connectionsClosed, "connections_closed_total", .counter, "Client connections closed.")
            + one(
                .connectionsRefused, "connections_refused_total", .counter,
                "Client connections refused by a connection limit.")
            + one(
                .connectionsHeld, "connections_held_total", .counter,
                "Client connections that had to wait because their client had flooded the worker.")
            + series(
                "shed_total", .counter, "What was given up because a worker ran short of memory, connections or descriptors.", "what",
                [(.shedConnections, "idle_connections"), (.shedRequests, "requests")])
            + series(
                "overload", .gauge, "What workers do about pressure now: how many do it.", "action",
                [
                    (.overloadStopsAccepting, "stop_accepting"), (.overloadClosesIdle, "close_idle"),
                    (.overloadRefuses, "refuse_requests"),
                ])
            + one(.memoryResident, "memory_resident_bytes", .gauge, "Resident memory of the workers, without what is mapped from files.")
            + one(
                .acceptErrors, "accept_errors_total", .counter,
                "Failed accept calls, for instance without a free descriptor.")
            + one(
                .proxyHeadersRefused, "proxy_headers_refused_total", .counter,
                "Connections of balancers closed because their PROXY header was missing, late or malformed.")
            + series(
                "tls_handshakes_total", .counter, "TLS handshakes with clients, by outcome.", "result",
                [
                    (.tlsHandshakesFull, "full"), (.tlsHandshakesResumed, "resumed"), (.tlsHandshakesFailed, "failed"),
                    (.tlsHandshakesDropped, "dropped"),
                ])
            + series(
                "tls_connections_total", .counter, "TLS connections of clients, by who makes the records of what is sent.", "records",
                [(.tlsRecordsGateway, "gateway"), (.tlsRecordsOpenSSL, "openssl"), (.tlsRecordsKernel, "kernel")])
            + one(.tlsTicketRotations, "tls_ticket_rotations_total", .counter, "New keys for session tickets taken into use.")
            + one(.http1Errors, "http1_errors_total", .counter, "Malformed HTTP/1 messages from clients.")
            + series(
                "http2_errors_total", .counter, "HTTP/2 errors caused by clients.", "scope",
                [
                    (.http2StreamErrors, "stream"), (.http2ConnectionErrors, "connection"),
                    (.http2FloodsStopped, "flood"),
                ])
            + series(
                "http2_floods_total", .counter, "HTTP/2 connections ended for a flood, by its kind.", "kind",
                [
                    (.http2FloodResets, "resets"), (.http2FloodProvoked, "provoked_resets"),
                    (.http2FloodMalformed, "malformed_heads"), (.http2FloodHeaders, "large_heads"),
                    (.http2FloodSettings, "settings"), (.http2FloodPing, "ping"), (.http2FloodPriority, "priority"),
                    (.http2FloodWindowUpdate, "window_update"), (.http2FloodEmptyData, "empty_data"),
                    (.http2FloodContinuation, "continuation"), (.http2FloodFrames, "frames"),
                    (.http2FloodUnread, "unread"),
                ])
    }

    private static var origins: [CounterSeries] {
        series(
            "upstream_connects_total", .counter, "Connections opened to origins.", "transport",
            [(.upstreamConnectsPlain, "plain"), (.upstreamConnectsTLS, "tls")])
            + one(.upstreamReuses, "upstream_reuses_total", .counter, "Requests sent on a kept origin connection.")
            + series(
                "upstream_failures_total", .counter, "Failed attempts at an origin, by kind.", "kind",
                [
                    (.upstreamFailuresResolve, "dns"), (.upstreamFailuresConnect, "connect"),
                    (.upstreamFailuresTLS, "tls"), (.upstreamFailuresTimeout, "timeout"),
                    (.upstreamFailuresReset, "reset"), (.upstreamFailuresProtocol, "protocol"),
                    (.upstreamFailuresOverloaded, "overloaded"),
                ])
            + one(.upstreamRetries, "upstream_retries_total", .counter, "Requests sent to an origin a second time.")
            + one(
                .upstreamRetriesOverBudget, "upstream_retries_over_budget_total", .counter,
                "Retries that were not made because the budget was spent.")
            + one(.upstreamEjections, "upstream_ejections_total", .counter, "Servers left out for failures in a row.")
            + one(.upstreamPanics, "upstream_panics_total", .counter, "Choices made without regard to health: too few servers were left.")
            + one(.upstreamWarmUps, "upstream_warm_connects_total", .counter, "Connections opened ahead of need (`warm`).")
            + series(
                "upstream_limits_total", .counter, "Limits of upstreams reached, by kind.", "limit",
                [
                    (.upstreamLimitConnections, "connections"), (.upstreamLimitPending, "pending"),
                    (.upstreamLimitRequests, "requests"),
                ])
            + series(
                "health_checks_total", .counter, "Active health checks, by result.", "result",
                [(.healthChecksPassed, "pass"), (.healthChecksFailed, "fail")])
            + series(
                "health_changes_total", .counter, "Servers that active checks took out or brought back.", "to",
                [(.healthServersWentDown, "down"), (.healthServersCameUp, "up")])
            + series(
                "upstream_connections", .gauge, "Connections to origins open now.", "state",
                [(.upstreamConnectionsActive, "active"), (.upstreamConnectionsIdle, "idle")])
            + series(
                "upstream_http2_errors_total", .counter, "HTTP/2 connections ended for a fault of the origin.", "kind",
                [(.upstreamHTTP2Errors, "protocol"), (.upstreamHTTP2Floods, "flood")])
    }

    private static var programs: [CounterSeries] {
        one(.ruleEvaluations, "rule_evaluations_total", .counter, "Rule conditions evaluated.")
            + one(.ruleMatches, "rule_matches_total", .counter, "Rules whose condition held.")
            + series(
                "compressed_responses_total", .counter, "Responses that rules compressed, by coding.", "coding",
                [(.compressedGzip, "gzip"), (.compressedBrotli, "br"), (.compressedZstd, "zstd")])
            + one(
                .transformsSkippedBusy, "body_transforms_skipped_total", .counter,
                "Bodies that went as they are because too many coders were at work.")
            + series(
                "body_transform_bytes_total", .counter, "Bytes of bodies that rules changed, before and after.", "side",
                [(.transformedIn, "in"), (.transformedOut, "out")])
            + one(.textsReplaced, "body_texts_replaced_total", .counter, "Texts that rules replaced in bodies.")
            + series(
                "mirrored_requests_total", .counter, "Copies of requests for mirrors, by outcome (a sent one may fail later).", "outcome",
                [(.mirrorsSent, "sent"), (.mirrorsDropped, "dropped"), (.mirrorsFailed, "failed")])
            + series(
                "rate_limit_requests_total", .counter, "Requests counted by rate limits, by verdict.", "verdict",
                [(.rateLimitAllowed, "allowed"), (.rateLimitRefused, "refused")])
            + one(
                .rateLimitEvicted, "rate_limit_evictions_total", .counter,
                "Keys that lost their place in the table of rate limits while they still counted.")
            + one(
                .rateLimitUnreachable, "rate_limit_unreachable_total", .counter,
                "Requests whose rate limit could not be asked because its Redis was not there.")
            + series(
                "hook_calls_total", .counter, "Hook calls, by handler.", "handler",
                [
                    (.hookCallsRequest, "onRequest"), (.hookCallsResponse, "onResponse"),
                    (.hookCallsFetch, "fetch"), (.hookCallsError, "onError"), (.hookCallsWebSocket, "onWebSocketMessage"),
                    (.hookCallsScheduled, "scheduled"),
                ])
            + one(.hookSocketsOpened, "hook_websockets_total", .counter, "WebSockets that hooks ended themselves.")
            + one(.hookSocketsActive, "hook_websockets_active", .gauge, "WebSockets that hooks end, open now.")
            + series(
                "hook_websockets_ended_total", .counter, "WebSockets of hooks that are over: closed by a side, lost, failed (1002, 1007, 1009, 1011).", "how",
                [(.hookSocketsClosed, "closed"), (.hookSocketsLost, "lost"), (.hookSocketsFailed, "failed")])
            + series(
                "hook_websocket_messages_total", .counter, "Messages of WebSockets that hooks end; refused: more than 4 MiB waited for the client.",
                "direction", [(.hookSocketMessagesIn, "in"), (.hookSocketMessagesOut, "out"), (.hookSocketMessagesRefused, "refused")])
            + series(
                "websocket_messages_total", .counter, "WebSocket messages that hooks looked at, by what became of them.", "outcome",
                [
                    (.webSocketMessagesPassed, "passed"), (.webSocketMessagesChanged, "changed"),
                    (.webSocketMessagesDropped, "dropped"), (.webSocketMessagesClosed, "closed"),
                ])
            + series(
                "scheduled_runs_total", .counter, "Runs of schedules, by what became of them; skipped: the run before went on.", "result",
                [(.scheduledDone, "done"), (.scheduledFailed, "failed"), (.scheduledSkipped, "skipped")])
            + series(
                "hook_failures_total", .counter, "Hook calls that failed, by kind.", "kind",
                [
                    (.hookFailuresThrown, "error"), (.hookFailuresCPU, "cpu"), (.hookFailuresWall, "wall"),
                    (.hookFailuresMemory, "memory"), (.hookFailuresSubrequests, "subrequests"),
                    (.hookFailuresResult, "result"), (.hookFailuresFenced, "fenced"),
                ])
            + one(.hookCPUMicroseconds, "hook_cpu_microseconds_total", .counter, "CPU time spent inside hooks.")
            + series(
                "hook_policies_total", .counter, "Failed hook calls answered by policy.", "policy",
                [
                    (.hookPolicyDeny, "deny"), (.hookPolicyRespond, "respond"), (.hookPolicyContinue, "continue"),
                    (.hookPolicyFallback, "fallback"),
                ])
            + one(.hookSubrequests, "hook_subrequests_total", .counter, "Requests made by hooks.")
            + one(.hookTailsStopped, "hook_tails_stopped_total", .counter, "Calls whose `waitUntil` work was stopped at a limit.")
            + series(
                "hook_bodies_shed_total", .counter, "Whole bodies and messages of hooks that had no room to wait: results that failed, and exchanges that were cut.", "what",
                [(.hookBodiesRefused, "refused"), (.hookBodiesCut, "cut")])
            + one(.hookBodyBytes, "hook_body_bytes", .gauge, "Bytes of whole bodies and messages of hooks, more than 64 KiB each, that wait to be taken, or for a hook to have all of them.")
            + one(.hookLogDropped, "hook_log_bytes_dropped_total", .counter, "Bytes of console lines of hooks beyond what a second may have.")
            + series(
                "hook_crypto_total", .counter, "RSA keys made and PBKDF2 run beside the requests, by how that ended.", "result",
                [
                    (.cryptoDone, "done"), (.cryptoFailed, "failed"), (.cryptoStopped, "stopped"), (.cryptoSpent, "spent"),
                    (.cryptoRefused, "refused"),
                ])
            + one(.cryptoMicroseconds, "hook_crypto_microseconds_total", .counter, "Processor time that took.")
            + one(.isolatesLive, "isolates_live", .gauge, "JavaScript isolates alive now.")
            + one(.isolatesSpare, "isolates_spare", .gauge, "JavaScript isolates made ahead that wait for a function.")
            + series(
                "isolates_taken_total", .counter, "Isolates that functions got, by whether one was ready.", "from",
                [(.isolatesWarm, "pool"), (.isolatesCold, "scratch")])
            + one(.isolatesEvicted, "isolates_evicted_total", .counter, "Isolates of idle functions given up for lack of memory.")
            + isolates
            + cordons
            + keyValue
            + series(
                "worker_reloads_total", .counter, "Configurations handed to workers, by outcome.", "result",
                [(.reloadsApplied, "applied"), (.reloadsRefused, "refused")])
            + one(.reloadMicroseconds, "worker_reload_microseconds_total", .counter, "Time for which requests waited for reloads.")
    }

    private static var isolates: [CounterSeries] {
        series(
            "isolate_bytes", .gauge, "Memory of JavaScript isolates: heaps, ArrayBuffers, handles kept from outside.", "part",
            [(.isolateHeapBytes, "heap"), (.isolateBufferBytes, "buffers"), (.isolateHandleBytes, "handles")])
            + one(.isolateContexts, "isolate_contexts", .gauge, "JavaScript contexts that V8 knows of.")
            + one(
                .isolateContextsDetached, "isolate_contexts_detached", .gauge,
                "JavaScript contexts that nobody refers to and that are not collected yet.")
            + one(.hookCallsOpen, "hook_calls_open", .gauge, "Hook calls that have begun and not ended, waitUntil work included.")
    }

    private static var cordons: [CounterSeries] {
        one(.cordonsLive, "cordons_live", .gauge, "Hook processes alive now.")
            + one(.cordonCalls, "cordon_calls_total", .counter, "Hook calls that ran in a process of their own.")
            + one(.cordonDeaths, "cordon_deaths_total", .counter, "Hook processes that died or were killed, and were replaced.")
            + one(.cordonRepeats, "cordon_repeats_total", .counter, "Hook calls that ran again because their process was lost.")
            + series(
                "hook_moves_total", .counter, "Functions that were moved into a process of their own, by reason.", "reason",
                [(.hookMovesSlow, "slow"), (.hookMovesFatal, "fatal")])
    }

    private static var keyValue: [CounterSeries] {
        series(
            "kv_requests_total", .counter, "What hooks asked of key-value namespaces.", "operation",
            [(.kvGets, "get"), (.kvPuts, "put"), (.kvDeletes, "delete"), (.kvLists, "list")])
            + series(
                "kv_failures_total", .counter, "Requests to key-value namespaces that failed, by reason.", "reason",
                [
                    (.kvFailuresFull, "full"), (.kvFailuresBusy, "busy"), (.kvFailuresTimeout, "timeout"),
                    (.kvFailuresUnreachable, "unreachable"), (.kvFailuresRefused, "refused"), (.kvFailuresBroken, "broken"),
                ])
            + series(
                "kv_bytes_total", .counter, "Bytes of values that hooks read and wrote.", "direction",
                [(.kvBytesRead, "read"), (.kvBytesWritten, "written")])
            + one(.kvExpired, "kv_expired_total", .counter, "Entries on disk taken out because their time was up.")
            + one(.kvBytes, "kv_stored_bytes", .gauge, "Bytes that namespaces on disk hold.")
            + series(
                "cache_requests_total", .counter, "What hooks asked of `caches`.", "result",
                [(.cacheHits, "hit"), (.cacheMisses, "miss"), (.cachePuts, "put")])
            + one(.cacheEvicted, "cache_evicted_total", .counter, "Answers that hooks kept with `caches` and that had to make room.")
            + one(.cacheEntries, "cache_entries", .gauge, "Answers that hooks keep with `caches`.")
            + one(.cacheBytes, "cache_bytes", .gauge, "Bytes that hooks keep with `caches`.")
            + one(.egressRequests, "egress_requests_total", .counter, "Requests of hooks to granted hosts outside, redirects included.")
            + series(
                "egress_refused_total", .counter, "Requests of hooks to hosts outside that were refused: not granted, or an address that is not public.", "reason",
                [(.egressRefusedHost, "host"), (.egressRefusedAddress, "address")])
            + series(
                "redis_connections_total", .counter, "Connections to Redis, by what became of them; an attempt that failed is lost.", "event",
                [(.redisConnects, "made"), (.redisLosses, "lost")])
            + one(.redisConnected, "redis_connected", .gauge, "Connections of workers to Redis that are there now.")
    }

    private static var bytes: [CounterSeries] {
        series(
            "copied_bytes_total", .counter, "Bytes copied in user space, by what they were.", "where",
            [
                (.copiedHead, "head"), (.copiedPartial, "partial"), (.copiedBody, "body"),
                (.copiedHook, "hook"), (.copiedHTTP2, "h2"), (.copiedCordon, "cordon"),
            ])
            + series(
                "forwarded_bytes_total", .counter, "Body bytes passed on.", "direction",
                [(.forwardedRequest, "request"), (.forwardedResponse, "response")])
            + series(
                "spliced_bytes_total", .counter, "Body bytes that never entered user space.", "direction",
                [(.splicedRequest, "request"), (.splicedResponse, "response")])
            + one(.slabsLive, "slabs_live", .gauge, "Buffer slabs in use now.")
            + one(.slabsHighWater, "slabs_high_water", .gauge, "Largest number of buffer slabs in use at once.")
            + one(.slabBytes, "slab_bytes", .gauge, "Bytes of buffer slabs in use now.")
    }

    private static var work: [CounterSeries] {
        series(
            "syscalls_total", .counter, "System calls on the data path, by kind.", "call",
            [
                (.syscallsReceive, "receive"), (.syscallsSend, "send"), (.syscallsAccept, "accept"),
                (.syscallsConnect, "connect"), (.syscallsClose, "close"), (.syscallsWait, "epoll_wait"),
                (.syscallsControl, "epoll_ctl"), (.syscallsSplice, "splice"), (.syscallsOther, "other"),
            ])
            + series(
                "timeouts_total", .counter, "Time limits reached, by kind.", "kind",
                [
                    (.timeoutsHead, "head"), (.timeoutsBody, "body"), (.timeoutsIdle, "idle"),
                    (.timeoutsHandshake, "handshake"), (.timeoutsWriteStall, "write_stall"),
                    (.timeoutsUpstreamConnect, "upstream_connect"),
                    (.timeoutsUpstreamFirstByte, "upstream_first_byte"),
                    (.timeoutsUpstreamIdle, "upstream_idle"),
                    (.timeoutsHalfClosed, "half_closed"),
                ])
            + one(.loopTurns, "loop_turns_total", .counter, "Turns of the event loop.")
            + one(.drainsCut, "drain_cut_total", .counter, "Exchanges that were ended because the time to drain was over.")
            + one(.logLines, "log_lines_total", .counter, "Access log lines written.")
            + one(.logLinesDropped, "log_lines_dropped_total", .counter, "Log lines dropped because nobody read them.")
            + one(.logLinesSkipped, "log_lines_sampled_out_total", .counter, "Access log lines that sampling left out.")
            + series(
                "spans_total", .counter, "Spans of traced requests, by what became of them.", "result",
                [(.spansSent, "sent"), (.spansDropped, "dropped")])
            + one(.spanBatchesFailed, "span_batches_failed_total", .counter, "Batches of spans that the collector did not take.")
            + one(.nameLookupsFailed, "name_lookups_failed_total", .counter, "Lookups of servers' names that gave no address.")
            + one(.namesUnresolved, "names_unresolved", .gauge, "Names of servers whose last lookup gave no address, of all workers.")
            + one(.clockSteps, "clock_steps_total", .counter, "Times that the wall clock was seen to jump, of all workers.")
            + one(.bugs, "bugs_total", .counter, "Internal invariants found broken. Anything but zero is a bug.")
    }
}
