import Foundation

/// How origin servers stand, in words.
enum OriginWords {
    /// `up`, `ejected` or `check fails`.
    static func state(_ origin: [String: Any]) -> String {
        if origin["check"] as? String == "failing" { return "check fails" }
        if let ejected = origin["ejected_ms"] as? NSNumber, ejected.intValue > 0 { return "ejected" }
        return origin["check"] as? String == "pending" ? "unchecked" : "up"
    }

    /// A line per upstream: how many of its servers get requests, and which do not.
    static func lines(_ origins: [[String: Any]]) -> [String] {
        var names: [String] = []
        for origin in origins { if let name = origin["upstream"] as? String, !names.contains(name) { names.append(name) } }
        return names.map { name in
            let servers = origins.filter { $0["upstream"] as? String == name }
            let down = servers.filter { $0["up"] as? Bool != true }
            let told = down.prefix(5).map { "\($0["server"] ?? "") \(state($0))" } + (down.count > 5 ? ["..."] : [])
            return "\(name): \(servers.count - down.count) of \(servers.count) servers up" + (told.isEmpty ? "" : " (\(told.joined(separator: ", ")))")
        }
    }
}
