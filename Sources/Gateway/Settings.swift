import HTTP
import HTTP1
import Rules
import TLS
import Upstream

/// From what the rule files say to what the rooms need.
extension HeadLimits {
    init(_ limits: Limits) {
        self.init()
        line = limits.requestLine
        total = limits.headerBytes
        field = limits.headerField
        fields = limits.headerFields
    }
}

extension UpstreamSettings {
    /// - Parameter isPlayed: in a rehearsal each attempt gets a connection, so that each is seen.
    init(_ upstream: Rules.Upstream, files: FileBundle, stickyKey: [UInt8] = [], isPlayed: Bool = false) {
        self.init(
            name: upstream.name,
            servers: upstream.servers.map {
                var server = Server(secure: $0.secure, host: $0.host, port: $0.port, weight: $0.weight)
                server.http2 = $0.http2
                server.path = $0.path
                server.isService = $0.isService
                return server
            })
        wire = switch upstream.wire {
        case .http1: .http1
        case .http2: .http2
        case .auto: .auto
        }
        maximumStreams = upstream.maximumStreams
        self.stickyKey = stickyKey
        serve(upstream)
        connectTimeout = UInt64(upstream.timeouts.connect)
        firstByteTimeout = UInt64(upstream.timeouts.firstByte)
        idleTimeout = UInt64(upstream.timeouts.idle)
        halfClosedTimeout = UInt64(upstream.timeouts.halfClosed)
        totalTimeout = UInt64(upstream.timeouts.total)
        maximumConnections = upstream.maximumConnections
        heads.total = upstream.limits.headerBytes
        heads.field = upstream.limits.headerField
        heads.fields = upstream.limits.headerFields
        interims = upstream.limits.interims
        responseBuffer = upstream.limits.buffer
        keepAlive = isPlayed ? 0 : upstream.keepAlive
        warm = isPlayed ? 0 : upstream.warm
        tls.verifiesPeer = upstream.tls.verify
        serverName = upstream.tls.serverName
        if let authorities = upstream.tls.authorities {
            tls.trustedCertificates = files.files[authorities.path]
            tls.trustedName = authorities.path
        }
        tls.minimumVersion = upstream.tls.minimumVersion == .tls13 ? .tls13 : .tls12
        if let pair = upstream.tls.certificate {
            tls.certificate = CertificateSource(
                certificate: files.files[pair.certificate.path] ?? [], key: files.files[pair.key.path] ?? [],
                certificateName: pair.certificate.path, keyName: pair.key.path)
        }
    }

    /// The choice of a server, its health, further attempts.
    private mutating func serve(_ upstream: Rules.Upstream) {
        balance = switch upstream.balance {
        case .roundRobin: .roundRobin
        case .leastRequests: .leastRequests
        case .random: .random
        case .hash: .hash
        }
        sticky = upstream.sticky?.name
        stickyAttributes = upstream.sticky?.attributes ?? ""
        retry = upstream.retry
        health = upstream.health.map { HealthSettings($0) }
        ejection.failures = upstream.ejection.failures
        ejection.time = UInt64(upstream.ejection.time)
        ejection.maximumPercent = upstream.ejection.maximumPercent
        ejection.grpcStatuses = upstream.ejection.grpcStatuses
        slowStart = UInt64(upstream.slowStart)
        panicPercent = upstream.panicPercent
        maximumWaiting = upstream.maximumWaiting
        maximumRequests = upstream.maximumRequests
        proxyProtocol = upstream.proxyProtocol.map { $0 == .v1 ? .v1 : .v2 }
    }
}

extension HealthSettings {
    init(_ check: HealthCheck) {
        let kind: Kind =
            switch check.kind {
            case .http: .http(path: check.path, statuses: check.statuses)
            case .tcp: .connect
            case .grpc: .grpc(service: check.service)
            }
        self.init(kind: kind)
        host = check.host
        every = UInt64(check.every)
        timeout = UInt64(check.timeout)
        failAfter = check.failAfter
        passAfter = check.passAfter
    }
}

extension ListenerState {
    /// The listeners of a configuration by name.
    /// - Throws: when a certificate cannot be used; the message names file and remedy.
    static func all(
        _ configuration: Configuration, files: FileBundle, ticketKeys: [TicketKey]
    ) throws -> [String: ListenerState] {
        var all: [String: ListenerState] = [:]
        let allowsConnect = configuration.sites.contains { $0.connect != nil }
        for listener in configuration.listeners {
            let tls = try listener.tls.map { try context($0, listener.protocols, files, ticketKeys, helloBytes: listener.limits.clientHello) }
            all[listener.name] = ListenerState(listener, tls: tls, allowsConnect: allowsConnect)
        }
        return all
    }

    private static func context(
        _ tls: ListenerTLS, _ protocols: Protocols, _ files: FileBundle, _ ticketKeys: [TicketKey], helloBytes: Int
    ) throws -> ServerContext {
        var options = ServerOptions()
        options.minimumVersion = tls.minimumVersion == .tls13 ? .tls13 : .tls12
        options.alpn = protocols.contains(.http2) ? ["h2", "http/1.1"] : ["http/1.1"]
        options.ticketKeys = ticketKeys
        options.usesKernel = tls.usesKernel
        options.makesRecords = tls.makesRecords
        options.rejectsUnknownNames = tls.refusesUnknownNames
        options.clients = tls.clients.map { ClientVerification($0, files) }
        options.ciphers = tls.ciphers
        options.suites = tls.suites
        options.curves = tls.curves
        options.helloBytes = max(helloBytes, 1 << 10)
        return try ServerContext(tls.certificates.map { CertificateSource($0, files) }, options: options)
    }
}

extension CertificateSource {
    init(_ pair: CertificateFiles, _ files: FileBundle) {
        self.init(
            certificate: files.files[pair.certificate.path] ?? [], key: files.files[pair.key.path] ?? [],
            certificateName: pair.certificate.path, keyName: pair.key.path)
        if let staple = pair.staple {
            self.staple = files.files[staple.path] ?? []
            stapleName = staple.path
        }
        clients = pair.clients.map { ClientVerification($0, files) }
        minimumVersion = pair.minimumVersion.map { $0 == .tls13 ? .tls13 : .tls12 }
    }
}

extension ClientVerification {
    init(_ clients: ClientCertificates, _ files: FileBundle) {
        self.init(
            mode: clients.isRequired ? .required : .optional, authorities: files.files[clients.authorities.path] ?? [],
            authoritiesName: clients.authorities.path)
        guard let lists = clients.revocations else { return }
        revocations = files.files[lists.path] ?? []
        revocationsName = lists.path
    }
}
