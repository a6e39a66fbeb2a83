import Reactor
import Telemetry

/// Certificates and OCSP responses that end while the gateway runs: what is told of each, and when. Decides only.
struct ExpiryBook {
    typealias Ending = ConfigurationBundle.Ending

    struct Notice: Equatable {
        let ending: Ending
        /// Seconds; 0 or less: it has ended.
        let left: Int
    }

    private static let day = 86_400
    /// Seconds before the end at which it is told, besides the end itself. Something that is made for a few days is not told of at once:
    /// only what is less than half of its life.
    private static let steps = [30 * day, 7 * day, day]
    /// Seconds before the end from which on a start, a reload and `sluice check` say so of listeners and the admin address.
    private static let saidAtStart = 14 * day

    private var told: [Ending: Int] = [:]

    /// What has come closer to its end than was told yet.
    /// - Parameter now: seconds since 1970.
    mutating func look(at endings: [Ending], now: Int) -> [Notice] {
        var notices: [Notice] = []
        var next: [Ending: Int] = [:]
        for ending in endings {
            let left = ending.ends - now
            let passed = ExpiryBook.passed(ending, left)
            let before = told[ending]
            next[ending] = max(passed, before ?? 0)
            let isNew = before.map { passed > $0 } ?? (passed > 0 && !ExpiryBook.isSaid(ending, left))
            if isNew { notices.append(Notice(ending: ending, left: left)) }
        }
        told = next
        return notices
    }

    /// How many of the steps are behind it.
    private static func passed(_ ending: Ending, _ left: Int) -> Int {
        let life = max(0, ending.ends - ending.begins)
        return steps.count { left <= $0 && life >= 2 * $0 } + (left <= 0 ? 1 : 0)
    }

    private static func isSaid(_ ending: Ending, _ left: Int) -> Bool {
        switch ending.use {
        case .listener, .admin: left < saidAtStart
        case .ocsp: left <= 0
        case .origin: false
        }
    }

    /// Those that end first, as many as are shown.
    static func first(_ endings: [Ending]) -> ArraySlice<Ending> {
        endings.sorted { ($0.ends, $0.file, $0.use.rawValue) < ($1.ends, $1.file, $1.use.rawValue) }.prefix(shown)
    }
    static let shown = 1_000
}

extension ExpiryBook.Notice {
    var text: String {
        let what = ending.use == .ocsp ? "the OCSP response" : "the certificate"
        let to = switch ending.use {
        case .listener, .ocsp: ""
        case .origin: " for origins"
        case .admin: " of the admin address"
        }
        guard left > 0 else {
            return switch ending.use {
            case .ocsp: "\(ending.file): \(what) is too old and not stapled any more; fetch a new one"
            case .origin: "\(ending.file): \(what)\(to) has ended: origins may refuse it; renew it"
            case .listener, .admin: "\(ending.file): \(what)\(to) has ended: clients refuse it; renew it"
            }
        }
        let time = left < 2 * 86_400 ? "\(left / 3_600) hours" : "\(left / 86_400) days"
        return "\(ending.file): \(what)\(to) ends in \(time); \(ending.use == .ocsp ? "fetch a new one" : "renew it")"
    }
}

/// Looks at them once a minute.
final class CertificateWatch: Timer {
    /// Milliseconds.
    static let period: UInt64 = 60_000
    /// Milliseconds after a start or a reload until the first look.
    static let soon: UInt64 = 1_000
    private unowned let supervisor: Supervisor
    private var book = ExpiryBook()

    init(_ supervisor: Supervisor) { self.supervisor = supervisor }

    override func fire() {
        for notice in book.look(at: supervisor.current.bundle.endings, now: supervisor.reactor.wallSeconds) {
            let details: [(String, OperationLog.Value)] = [
                ("file", .text(notice.ending.file)), ("use", .text(notice.ending.use.rawValue)), ("seconds_left", .number(notice.left)),
            ]
            if notice.left > 0 { supervisor.log.warning("certificate", notice.text, details) } else { supervisor.log.error("certificate", notice.text, details) }
        }
        supervisor.reactor.schedule(self, after: untilNext)
    }

    /// An end is told when it comes.
    private var untilNext: UInt64 {
        let now = supervisor.reactor.wallSeconds
        let seconds = supervisor.current.bundle.endings.lazy.map { $0.ends - now }.filter { $0 > 0 }.min() ?? .max
        return seconds < Int(CertificateWatch.period / 1_000) ? UInt64(seconds) * 1_000 + 100 : CertificateWatch.period
    }
}

extension Supervisor {
    func appendCertificates(_ out: inout PrometheusText) {
        let family = MetricFamily(
            "sluice_certificate_seconds_left", .gauge,
            "Seconds until a certificate or OCSP response in use ends, below 0 since it did; the 1,000 that end first.")
        out.begin(family)
        for ending in ExpiryBook.first(current.bundle.endings) {
            out.sample(
                family.name, "file=\"\(PrometheusText.escapedLabel(ending.file))\",use=\"\(ending.use.rawValue)\"",
                String(ending.ends - reactor.wallSeconds))
        }
    }

    /// The same for the overview, those that end within 30 days.
    func appendCertificates(_ json: inout JSONLineWriter) {
        json.beginArray("certificates")
        for ending in ExpiryBook.first(current.bundle.endings).prefix(100) where ending.ends - reactor.wallSeconds < 30 * 86_400 {
            json.beginObject()
            json.field("file", ending.file)
            json.field("use", ending.use.rawValue)
            json.field("seconds_left", ending.ends - reactor.wallSeconds)
            json.endObject()
        }
        json.endArray()
    }
}
