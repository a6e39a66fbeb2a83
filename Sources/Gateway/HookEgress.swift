import Buffers
import HTTP
import Hooks
import Rules
import TLS
import Telemetry
import Upstream

extension EgressSettings {
    init(_ egress: Egress, _ files: FileBundle) {
        self.init()
        addresses = AddressPolicy(allowed: egress.allowed.map { AddressPolicy.Network($0.network, $0.prefix) })
        connectTimeout = UInt64(egress.connect)
        firstByteTimeout = UInt64(egress.firstByte)
        idleTimeout = UInt64(egress.idle)
        if let authorities = egress.authorities {
            tls.trustedCertificates = files.files[authorities.path]
            tls.trustedName = authorities.path
        }
    }
}

extension EgressTarget {
    /// Where a URL leads; nil when its authority is none.
    init?(_ head: borrowing Head) {
        let text = head.text(head.authority).lowercased()
        var host = text, port: UInt16?
        if let colon = text.lastIndex(of: ":"), !text[colon...].contains("]") {
            port = UInt16(text[text.index(after: colon)...])
            guard port != nil else { return nil }
            host = String(text[..<colon])
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        // `example.com.` is the same name, and no grant spells it so.
        guard !host.isEmpty, !host.hasSuffix(".") else { return nil }
        let isSecure = head.scheme == .https
        self.init(secure: isSecure, host: host, port: port ?? (isSecure ? 443 : 80))
    }
}

extension GatewayHookCall {
    /// A request by URL: only to hosts that the rule file grants this function, whoever asks on its behalf.
    func openOutside(_ request: HookSubrequest, _ generation: ServingGeneration, _ function: Function) {
        let shown = request.head.text(request.head.authority)
        guard let target = EgressTarget(request.head), function.egress.contains(where: { $0.allows(isSecure: target.secure, target.host, target.port) })
        else {
            worker.metrics.add(.egressRefusedHost)
            return subrequestFailed(request.id, "\(shown) is not granted to this function; its egress has to name it")
        }
        worker.metrics.add(.egressRequests)
        let exchange = request.exchange(for: self, worker)
        keep(exchange)
        do throws(TLSConfigurationError) {
            try generation.egress.open(exchange, to: target)
            exchange.fill()
        } catch {
            exchange.stop()
            subrequestFailed(request.id, "\(error)")
        }
    }
}
