/// Rule files of any size whose rules are of ten kinds, a tenth of each, and requests that meet some of them.
struct RuleSet {
    let count: Int

    /// - Parameter sites: how many sites the rules are spread over.
    func text(sites: Int = 1) -> String {
        var out = """
            sluice: 1
            upstreams:
              main: {servers: ["http://127.0.0.1:8080"]}
              other: {servers: ["http://127.0.0.1:8081"]}
            sites:

            """
        let each = max(1, (count + sites - 1) / sites)
        for site in 0..<sites {
            out += "  - name: site\(site)\n    hosts: [\(sites == 1 ? "\"*\"" : "s\(site).example.com")]\n    upstream: main\n"
            let rules = site * each..<min(count, (site + 1) * each)
            if !rules.isEmpty { out += "    request:\n" }
            for number in rules { out += rule(number) }
        }
        return out
    }

    private func rule(_ number: Int) -> String {
        "    - {when: '\(condition(number))', do: [\(action(number))]}\n"
    }

    private func condition(_ number: Int) -> String {
        switch number % 10 {
        case 0: "path == \"/old/page-\(number)\""
        case 1: "path starts_with \"/app/\(number)/\""
        case 2: "method == \"POST\" and path == \"/form/\(number)\""
        case 3: "host == \"h\(number).example.com\" and path starts_with \"/shop/\""
        case 4: "path matches \"^/p/\(number)/(?<id>[0-9]+)$\""
        case 5: "path like \"/img/\(number)/*.png\""
        case 6: "path in {\"/a/\(number)\" \"/b/\(number)\"}"
        case 7: "header.x-tenant == \"t\(number)\""
        case 8: "path starts_with \"/api/\(number)/\" and not client.ip in 10.0.0.0/8"
        default: "cookie.beta == \"b\(number)\""
        }
    }

    private func action(_ number: Int) -> String {
        switch number % 10 {
        case 0: "{redirect: {to: \"/new/\(number)\", status: 301}}"
        case 4: "{rewrite: {path: \"/product/${match.id}\"}}"
        case 8: "{deny: {status: 403}}"
        default: "{route: other}"
        }
    }

    /// Requests of which three in ten meet a rule of their own; the others none.
    func requests(_ wanted: Int, sites: Int = 1) -> [Request] {
        var random = SplitMix(state: 7)
        return (0..<wanted).map { _ in
            let site = sites == 1 ? "shop.example.com" : "s\(random.below(sites)).example.com"
            guard random.below(10) < 3, count > 0 else {
                return Request(host: site, path: "/product/\(random.below(100_000))/details/reviews")
            }
            return hit(random.below(count), site)
        }
    }

    private func hit(_ number: Int, _ host: String) -> Request {
        switch number % 10 {
        case 0: Request(host: host, path: "/old/page-\(number)")
        case 1: Request(host: host, path: "/app/\(number)/start")
        case 2: Request(method: "POST", host: host, path: "/form/\(number)")
        case 3: Request(host: host.hasPrefix("s") && !host.hasPrefix("shop") ? host : "h\(number).example.com", path: "/shop/cart")
        case 4: Request(host: host, path: "/p/\(number)/12345")
        case 5: Request(host: host, path: "/img/\(number)/logo.png")
        case 6: Request(host: host, path: "/b/\(number)")
        case 7: Request(host: host, path: "/", header: ("x-tenant", "t\(number)"))
        case 8: Request(host: host, path: "/api/\(number)/items")
        default: Request(host: host, path: "/", header: ("cookie", "sid=abc; beta=b\(number)"))
        }
    }
}

struct Request {
    var method = "GET"
    var host: String
    var path: String
    var header: (name: String, value: String)?
}

/// A seed that reproduces.
struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
}
