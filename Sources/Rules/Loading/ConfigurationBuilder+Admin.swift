/// `admin`: where it listens, and who may ask for what.
extension ConfigurationBuilder {
    func admin(_ object: ParsedObject) -> Admin? {
        guard let address = object["address"]?.endpoint else { return nil }
        var admin = Admin(address: address, tokens: tokens(object), position: object.position)
        if let tls = object["tls"] {
            admin.tls = certificate(tls)
            if case .unix = address { reporter.report(.text, "a Unix socket has no TLS", at: tls.position, label: "leave `tls` out, or use an IP address and a port") }
        }
        admin.clients = (object["clients"]?.list ?? []).compactMap { client($0) }
        if let clients = object["clients"], admin.tls?.clients == nil {
            reporter.report(
                .missingKey, "`clients` needs certificates to look at", at: clients.position, label: "add `tls: {cert:, key:, client: {ca:}}` to `admin`")
        }
        return admin
    }

    private func tokens(_ object: ParsedObject) -> [Admin.Token] {
        (object["tokens"]?.list ?? []).compactMap { parsed in
            guard let token = parsed.object, let name = token["name"]?.text, let role = token["role"]?.text, let file = file(token["file"])
            else { return nil }
            return Admin.Token(name: name, role: role, file: file)
        }
    }

    private func client(_ parsed: Parsed) -> Admin.Client? {
        guard let object = parsed.object, let name = object["name"]?.text, let role = object["role"]?.text else { return nil }
        var client = Admin.Client(name: name, role: role)
        client.subject = object["subject"]?.text
        if let parsed = object["san"], let text = parsed.text { client.alternativeName = alternativeName(text, parsed) }
        if let parsed = object["fingerprint"], let text = parsed.text { client.fingerprint = fingerprint(text, parsed) }
        if object["subject"] == nil, object["san"] == nil, object["fingerprint"] == nil {
            reporter.report(
                .missingKey, "client `\(name)` does not say which certificate it is", at: parsed.position, label: "give its `subject`, `san` or `fingerprint`")
        }
        return client
    }

    private func alternativeName(_ text: String, _ parsed: Parsed) -> String? {
        let parts = text.split(separator: ":", maxSplits: 1)
        guard parts.count == 2, ["DNS", "URI", "email"].contains(parts[0]) else {
            reporter.report(.text, "an alternative name says its kind", at: parsed.position, label: "write `DNS:name`, `URI:uri` or `email:address`")
            return nil
        }
        return parts[0] == "DNS" ? "DNS:\(parts[1].lowercased())" : text
    }

    private func fingerprint(_ text: String, _ parsed: Parsed) -> String? {
        let digits = text.lowercased().filter { $0 != ":" }
        guard digits.utf8.count == 64, digits.allSatisfy({ $0.isHexDigit && $0.isASCII }) else {
            reporter.report(
                .text, "a fingerprint is a SHA-256 of 64 hexadecimal digits", at: parsed.position,
                label: "`openssl x509 -noout -fingerprint -sha256 -in FILE` prints it")
            return nil
        }
        return digits
    }
}
