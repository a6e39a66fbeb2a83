/// Everything a worker counts, one word each.
///
/// The order is the layout of the metrics words in shared memory: it may change between versions
/// (supervisor and workers are one binary), not within one. `bugs` stays last.
/// Name, labels and help text of each are in `CounterCatalogue.swift`, in the same order.
public enum Counter: Int, CaseIterable, Sendable {
    // Requests and responses
    case requestsHTTP10, requestsHTTP11, requestsHTTP2
    case requestsActive
    case responses1xx, responses2xx, responses3xx, responses4xx, responses5xx
    /// The client left, or the exchange was cut, before a response head was sent.
    case responsesNone
    case errorsClient, errorsOrigin, errorsGateway
    case tunnelsOpened, tunnelsActive
    /// Calls of gRPC by what their own status says: the status of HTTP is 200 in any case.
    case grpcSucceeded, grpcFaultOfClient, grpcFaultOfServer, grpcWithoutStatus

    // Client connections
    case connectionsAcceptedPlain, connectionsAcceptedTLS
    case connectionsActive, connectionsClosed
    /// Refused because a connection limit was reached.
    case connectionsRefused, connectionsHeld
    /// Idle connections closed, and requests refused, because the worker ran short of something.
    case shedConnections, shedRequests
    case overloadStopsAccepting, overloadClosesIdle, overloadRefuses
    case memoryResident
    /// `accept` failed, for instance because no descriptor was left.
    case acceptErrors
    /// Connections of balancers without a readable PROXY header.
    case proxyHeadersRefused
    case tlsHandshakesFull, tlsHandshakesResumed, tlsHandshakesFailed
    /// Given up while unfinished, to make room for newer ones.
    case tlsHandshakesDropped
    /// Connections by who makes the records of what is sent on them.
    case tlsRecordsGateway, tlsRecordsOpenSSL, tlsRecordsKernel
    case tlsTicketRotations
    case http1Errors
    case http2StreamErrors, http2ConnectionErrors
    /// Connections closed because a peer used up its budget of suspicious frames.
    case http2FloodsStopped
    /// The same by what the budget was used up with.
    case http2FloodResets, http2FloodProvoked, http2FloodMalformed, http2FloodHeaders
    case http2FloodSettings, http2FloodPing, http2FloodPriority, http2FloodWindowUpdate
    case http2FloodEmptyData, http2FloodContinuation, http2FloodFrames, http2FloodUnread

    // Origins
    case upstreamConnectsPlain, upstreamConnectsTLS
    case upstreamReuses
    case upstreamFailuresResolve, upstreamFailuresConnect, upstreamFailuresTLS
    case upstreamFailuresTimeout, upstreamFailuresReset, upstreamFailuresProtocol
    /// Refused here: all connections to the server were busy for too long.
    case upstreamFailuresOverloaded
    case upstreamRetries, upstreamRetriesOverBudget
    case upstreamEjections, upstreamPanics, upstreamWarmUps
    /// A limit of an upstream was reached: connections (the request waits), waiting requests, running requests.
    case upstreamLimitConnections, upstreamLimitPending, upstreamLimitRequests
    case healthChecksPassed, healthChecksFailed, healthServersWentDown, healthServersCameUp
    case upstreamConnectionsActive, upstreamConnectionsIdle
    /// Connections to origins that broke HTTP/2 or flooded us with its frames.
    case upstreamHTTP2Errors, upstreamHTTP2Floods

    // Rules and hooks
    case ruleEvaluations, ruleMatches
    case compressedGzip, compressedBrotli, compressedZstd
    /// Bodies that went as they are because too many coders were at work.
    case transformsSkippedBusy
    case transformedIn, transformedOut, textsReplaced
    case mirrorsSent, mirrorsDropped, mirrorsFailed
    /// Requests asked of rate limits, and keys that lost their place while they still counted.
    case rateLimitAllowed, rateLimitRefused, rateLimitEvicted
    /// The Redis of a limit was not there: its `unreachable` decided.
    case rateLimitUnreachable
    case hookCallsRequest, hookCallsResponse, hookCallsFetch, hookCallsError, hookCallsWebSocket, hookCallsScheduled
    /// WebSockets that hooks end themselves: how they ended, messages, and messages of hooks that were refused.
    case hookSocketsOpened, hookSocketsActive, hookSocketsClosed, hookSocketsLost, hookSocketsFailed
    case hookSocketMessagesIn, hookSocketMessagesOut, hookSocketMessagesRefused
    case webSocketMessagesPassed, webSocketMessagesChanged, webSocketMessagesDropped, webSocketMessagesClosed
    /// Runs of schedules by what became of them; skipped: the run before went on.
    case scheduledDone, scheduledFailed, scheduledSkipped
    case hookFailuresThrown, hookFailuresCPU, hookFailuresWall, hookFailuresMemory
    case hookFailuresSubrequests, hookFailuresResult, hookFailuresFenced
    case hookCPUMicroseconds
    case hookPolicyDeny, hookPolicyRespond, hookPolicyContinue, hookPolicyFallback
    case hookSubrequests
    /// `waitUntil` work that was stopped at a limit.
    case hookTailsStopped
    /// Whole bodies of hooks: those that might not wait, those that waited for too long; bytes that wait.
    case hookBodiesRefused, hookBodiesCut, hookBodyBytes
    /// Bytes of console lines beyond what a second may have.
    case hookLogDropped
    /// Keys that hooks had made and passwords they had stretched beside the requests, by how that ended.
    case cryptoDone, cryptoFailed, cryptoStopped, cryptoSpent, cryptoRefused, cryptoMicroseconds
    case isolatesLive
    /// Isolates made ahead that wait; functions that got one, and those for which one had to be made on the spot.
    case isolatesSpare, isolatesWarm, isolatesCold
    case isolatesEvicted
    /// What isolates hold, looked at one after the other within about a second: bytes and contexts; calls that have not ended.
    case isolateHeapBytes, isolateBufferBytes, isolateHandleBytes, isolateContexts, isolateContextsDetached
    case hookCallsOpen
    case cordonsLive, cordonCalls
    /// Hook processes that died or were killed, and calls that ran again because of it.
    case cordonDeaths, cordonRepeats
    /// Functions that moved into a cordon by themselves.
    case hookMovesSlow, hookMovesFatal
    /// What hooks asked of key-value namespaces, and why it was not done.
    case kvGets, kvPuts, kvDeletes, kvLists
    case kvFailuresFull, kvFailuresBusy, kvFailuresTimeout, kvFailuresUnreachable, kvFailuresRefused, kvFailuresBroken
    case kvBytesRead, kvBytesWritten
    /// Entries taken out because they were over.
    case kvExpired
    case kvBytes
    /// What hooks asked of `caches`, entries that had to make room, and what is there.
    case cacheHits, cacheMisses, cachePuts, cacheEvicted, cacheEntries, cacheBytes
    /// Requests of hooks to hosts outside, and those refused: the host was not granted, or its address is not public.
    case egressRequests, egressRefusedHost, egressRefusedAddress
    case redisConnects, redisLosses, redisConnected
    case reloadsApplied, reloadsRefused
    /// Time for which requests waited while a configuration was swapped in.
    case reloadMicroseconds

    // Bytes
    case copiedHead, copiedPartial, copiedBody, copiedHook, copiedHTTP2, copiedCordon
    case forwardedRequest, forwardedResponse
    case splicedRequest, splicedResponse
    case slabsLive, slabsHighWater, slabBytes

    // System calls
    case syscallsReceive, syscallsSend, syscallsAccept, syscallsConnect, syscallsClose
    case syscallsWait, syscallsControl, syscallsSplice, syscallsOther

    // Time limits reached
    case timeoutsHead, timeoutsBody, timeoutsIdle, timeoutsHandshake, timeoutsWriteStall
    case timeoutsUpstreamConnect, timeoutsUpstreamFirstByte, timeoutsUpstreamIdle, timeoutsHalfClosed

    // The worker itself
    case loopTurns
    /// Exchanges that were ended because the time to drain was over.
    case drainsCut
    case logLines, logLinesDropped, logLinesSkipped
    case spansSent, spansDropped, spanBatchesFailed
    case nameLookupsFailed, namesUnresolved
    case clockSteps
    /// Doubtful states that a debug build would have trapped on. Anything but zero is a bug report.
    case bugs

    /// How many words the counters take.
    public static var count: Int { Counter.bugs.rawValue + 1 }
}
