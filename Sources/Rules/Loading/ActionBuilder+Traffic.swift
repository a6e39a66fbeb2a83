/// Rate limits and cookies.
extension ActionBuilder {
    func rateLimit(_ object: ParsedObject) -> Action.Kind? {
        guard case .rate(let count, let period)? = object["rate"]?.value else { return nil }
        let key: [FieldUse]
        if let written = object["key"] {
            key = written.list.compactMap { field($0) }
            guard key.count == written.list.count else { return nil }
        } else {
            key = [FieldUse(id: .clientIP, name: "", type: .address, written: "client.ip")]
        }
        var settings = RateLimitSettings(
            key: key, count: count, period: period, burst: object["burst"]?.integer ?? 0,
            status: UInt16(object["status"]?.integer ?? 429), sendsRetryAfter: object["retry_after"]?.boolean ?? true,
            sendsFields: object["headers"]?.boolean ?? true)
        share(&settings, object)
        return .rateLimit(settings)
    }

    private func share(_ settings: inout RateLimitSettings, _ object: ParsedObject) {
        settings.otherwise = object["unreachable"]?.text.flatMap { RateLimitSettings.Otherwise(rawValue: $0) } ?? .allow
        guard let store = object["store"], let name = store.text else {
            if let alone = object["unreachable"] { reporter.report(.actionShape, "`unreachable` means nothing without `store`", at: alone.position) }
            return
        }
        guard let index = builder.resolve(name, in: builder.namespaceIndex, "namespace", .unknownNamespace, at: store.position) else { return }
        guard case .redis = builder.configuration.namespaces[index].place else {
            reporter.report(.actionShape, "the namespace `\(name)` is not in Redis: leave `store` out to count on this machine", at: store.position)
            return
        }
        settings.store = index
    }

    /// A field by its name alone.
    func field(_ parsed: Parsed) -> FieldUse? {
        guard let text = parsed.text, case .field(let use)? = template("${\(text)}", parsed.node).pieces.first else { return nil }
        return use
    }

    // MARK: Cookies

    func cookie(_ object: ParsedObject) -> CookieSettings? {
        guard let name = cookieName(object["name"]), let value = object["value"] else { return nil }
        let inRequest = phase == .request
        if inRequest, let extra = ["path", "domain", "max_age", "secure", "http_only", "same_site"].first(where: { object[$0] != nil }) {
            reporter.report(
                .actionShape, "`\(extra)` means nothing in request rules", at: object[extra]?.position ?? object.position,
                label: "the origin gets only name and value")
        }
        return CookieSettings(name: name, value: fieldValue(value), attributes: inRequest ? "" : attributes(object, name))
    }

    private func attributes(_ object: ParsedObject, _ name: String) -> String {
        let path = object["path"]?.text ?? "/"
        if !path.hasPrefix("/") || path.contains(";") {
            reporter.report(.text, "a cookie's path begins with `/` and has no `;`", at: object["path"]?.position ?? object.position)
        }
        var text = "; Path=\(path)"
        if let domain = object["domain"]?.host {
            if case .exact(let name) = domain {
                text += "; Domain=\(name)"
            } else {
                reporter.report(.host, "a cookie's domain is a host without `*`", at: object["domain"]?.position ?? object.position, label: "it covers its subdomains anyway")
            }
        }
        if let age = object["max_age"]?.integer { text += "; Max-Age=\(age / 1000)" }
        let secure = object["secure"]?.boolean ?? true
        if secure { text += "; Secure" }
        if object["http_only"]?.boolean ?? false { text += "; HttpOnly" }
        let sameSite = object["same_site"]?.text ?? "lax"
        if sameSite == "none", !secure {
            reporter.report(.choice, "browsers refuse `same_site: none` without `secure`", at: object["same_site"]?.position ?? object.position)
        }
        if name.hasPrefix("__Host-"), !secure || path != "/" || object["domain"] != nil {
            reporter.report(.text, "browsers refuse a `__Host-` cookie unless it is secure, has path `/` and no domain", at: object["name"]?.position ?? object.position)
        }
        return text + "; SameSite=" + (["strict": "Strict", "none": "None"][sameSite] ?? "Lax")
    }

    /// RFC 6265: a cookie's name is a token.
    func cookieName(_ parsed: Parsed?) -> String? {
        guard let parsed, let text = parsed.text else { return nil }
        guard text.utf8.allSatisfy({ Names.isTokenByte($0) }) else {
            reporter.report(.text, "`\(text)` is not the name of a cookie", at: parsed.position)
            return nil
        }
        return text
    }
}
