import HTTP
import Hooks
import Reactor
import Rules
import TLS
import Telemetry
import Upstream

/// `forwarding` of the configuration, ready to be asked.
struct ForwardingRules {
    let trusted: TrustedPeers?
    let fields: Forwarding.Fields
    let makesTraceparent: Bool

    init(_ forwarding: Forwarding) {
        trusted = TrustedPeers(forwarding.trusted)
        fields = forwarding.fields
        makesTraceparent = forwarding.makesTraceparent
    }
}

/// Everything one configuration needs at run time. A request keeps the generation it began with.
final class ServingGeneration {
    let number: UInt64
    let configuration: Configuration
    let rules: Generation
    let upstreams: UpstreamSet
    let listeners: [String: ListenerState]
    let functions: GenerationHooks
    /// By index into the configuration's.
    let namespaces: [OpenNamespace]
    /// Hosts outside, for hooks.
    let egress: EgressPool
    let forwarding: ForwardingRules
    /// By `LimitCheck.limit`.
    let limits: [RateLimit]
    /// The same index, for limits that other gateways count too; empty when there are none.
    let sharedLimits: [SharedLimit?]
    let tallies: RuleTallies
    let series: SeriesCounters
    /// nil: no live request is explained.
    let tracing: LiveTracing?
    /// nil: no spans are made.
    let tracer: Tracer?
    /// The worker's: what never changes is read without a retain.
    let hooks: WorkerHooks?
    private unowned var worker: Worker?

    init(number: UInt64, _ prepared: PreparedConfiguration, worker: Worker) throws {
        let (configuration, files) = (prepared.configuration, prepared.files)
        self.number = number
        self.worker = worker
        self.configuration = configuration
        rules = prepared.rules
        forwarding = ForwardingRules(configuration.forwarding)
        limits = rules.limits.map { RateLimit($0) }
        tallies = RuleTallies(rules, shared: worker.context.shared)
        series = SeriesCounters(configuration, shared: worker.context.shared)
        tracing = worker.stage != nil ? nil : try LiveTracing(configuration, rules: rules, files: files, isInspecting: worker.context.settings["inspect"] != nil)
        tracer = worker.stage != nil ? nil : Tracer(configuration)
        // A rehearsal has no listeners: it runs where the keys are not.
        listeners = worker.stage != nil ? [:] : try ListenerState.all(configuration, files: files, ticketKeys: worker.ticketKeys)
        let stickyKey = GatewaySecret.sticky(worker.context.settings)
        upstreams = try UpstreamSet(
            settings: configuration.upstreams.map { UpstreamSettings($0, files: files, stickyKey: stickyKey, isPlayed: worker.stage != nil) },
            reactor: worker, pool: worker.pool, metrics: worker.metrics, resolver: worker.resolver, stage: worker.stage,
            board: worker.stage == nil ? HealthBoard(region: worker.context.shared, worker: worker.context.slot) : nil)
        egress = EgressPool(
            EgressSettings(configuration.egress, files), reactor: worker, pool: worker.pool, metrics: worker.metrics, resolver: worker.resolver,
            stage: worker.stage)
        namespaces = try worker.stores.open(configuration, files)
        sharedLimits = worker.stores.limits(rules, configuration.namespaces, namespaces)
        hooks = worker.hooks
        functions = if let hooks { try GenerationHooks(configuration, rules: rules, files: files, hooks: hooks) } else { GenerationHooks() }
    }

    /// The last exchange of this generation is over: functions that nobody else uses can go.
    deinit {
        worker?.hooks?.sweepSoon = true
        worker?.shelf?.ends(number: number)
    }

    /// New requests go elsewhere: idle origin connections close, running exchanges finish.
    func retire() {
        upstreams.retire()
        egress.retire()
    }
}
