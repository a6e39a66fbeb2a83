/// How one origin server stands, as a worker sees it, or all workers together.
public struct OriginReport: Sendable, Equatable {
    /// What active checks say.
    public enum Check: UInt8, Sendable { case none = 0, pending = 1, passing = 2, failing = 3 }

    /// Servers in one report; those beyond are left out.
    public static let limit = 8192

    public var upstream: String
    /// `host:port`.
    public var server: String
    /// Exchanges being served by it.
    public var active: UInt64 = 0
    /// Exchanges that wait for a connection to it.
    public var waiting: UInt64 = 0
    /// Connections to it, idle ones included.
    public var open: UInt64 = 0
    /// HTTP/1.1 connections that are kept for the next exchange.
    public var idle: UInt64 = 0
    public var check = Check.none
    /// Milliseconds for which it is left out from now on, for what its own answers showed.
    public var ejectedFor: UInt64 = 0

    public init(upstream: String, server: String) {
        self.upstream = upstream
        self.server = server
    }

    /// It gets requests.
    public var isUp: Bool { check != .failing && ejectedFor == 0 }

    /// Adds what another worker, or an older configuration of the same one, has to say of the same server. A worker may say
    /// anything: no number of it ends the process that adds.
    public mutating func add(_ other: OriginReport) {
        active &+= other.active
        waiting &+= other.waiting
        open &+= other.open
        idle &+= other.idle
        // Bad news count: workers hear of them from each other within a tenth of a second.
        if other.check.rawValue > check.rawValue { check = other.check }
        ejectedFor = max(ejectedFor, other.ejectedFor)
    }

    /// One report for each server, in the order of their first appearance.
    public static func merged(_ reports: [OriginReport]) -> [OriginReport] {
        var places: [[String]: Int] = [:]
        var merged: [OriginReport] = []
        for report in reports {
            let key = [report.upstream, report.server]
            if let place = places[key] {
                merged[place].add(report)
            } else {
                places[key] = merged.count
                merged.append(report)
            }
        }
        return merged
    }

    // MARK: Bytes

    static func write(_ reports: [OriginReport], to writer: inout PacketWriter) {
        writer.list(reports) { writer, report in
            writer.string(report.upstream)
            writer.string(report.server)
            for number in [report.active, report.waiting, report.open, report.idle, report.ejectedFor] { writer.number(number) }
            writer.byte(report.check.rawValue)
        }
    }

    static func read(_ reader: inout PacketReader) throws(PacketError) -> [OriginReport] {
        try reader.list { (reader) throws(PacketError) in
            var report = OriginReport(upstream: try reader.string(), server: try reader.string())
            report.active = try reader.number()
            report.waiting = try reader.number()
            report.open = try reader.number()
            report.idle = try reader.number()
            report.ejectedFor = try reader.number()
            let at = reader.offset
            guard let check = Check(rawValue: try reader.byte()) else { throw PacketError(what: "an unknown state of a check", offset: at) }
            report.check = check
            return report
        }
    }
}
