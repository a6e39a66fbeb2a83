/// `tls` of listeners.
extension ConfigurationBuilder {
    func listenerTLS(_ section: ParsedObject) -> ListenerTLS {
        let certificates = (section["certificates"]?.list ?? []).compactMap { certificate($0) }
        if certificates.isEmpty, let list = section["certificates"], list.list.isEmpty {
            reporter.report(.missingKey, "`certificates` names no certificate", at: list.position)
        }
        var tls = ListenerTLS(certificates: certificates)
        if let version = version(section) { tls.minimumVersion = version }
        tls.ciphers = section["ciphers"]?.text
        tls.suites = section["suites"]?.text
        tls.curves = section["curves"]?.text
        tls.clients = clients(section)
        tls.usesKernel = section["kernel"]?.boolean ?? true
        tls.makesRecords = section["records"]?.text != "openssl"
        tls.refusesUnknownNames = section["unknown_names"]?.text == "refuse"
        tls.refusesOtherNames = section["other_hosts"]?.text != "serve"
        return tls
    }

    func certificate(_ parsed: Parsed) -> CertificateFiles? {
        guard let object = parsed.object, let certificate = file(object["cert"]), let key = file(object["key"]) else { return nil }
        return CertificateFiles(
            certificate: certificate, key: key, staple: file(object["ocsp"]), minimumVersion: version(object), clients: clients(object))
    }

    private func version(_ object: ParsedObject) -> TLSVersion? { object["min_version"]?.text.flatMap { TLSVersion(rawValue: $0) } }

    private func clients(_ object: ParsedObject) -> ClientCertificates? {
        guard let client = object["client"]?.object, let authorities = file(client["ca"]) else { return nil }
        return ClientCertificates(authorities: authorities, revocations: file(client["crl"]), isRequired: client["verify"]?.text != "optional")
    }
}
