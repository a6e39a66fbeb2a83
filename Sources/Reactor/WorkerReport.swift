/// What a worker says of itself when somebody looks: what is a state and no count, and changes with every request.
public struct WorkerReport: Sendable, Equatable {
    public var origins: [OriginReport] = []
    public var functions: [FunctionReport] = []

    public init() {}

    /// What all workers said, as one.
    public mutating func add(_ other: WorkerReport) {
        origins = OriginReport.merged(origins + other.origins)
        functions = FunctionReport.merged(functions + other.functions)
    }

    public func encoded() -> [UInt8] {
        var writer = PacketWriter()
        OriginReport.write(origins, to: &writer)
        writer.list(functions) { writer, function in
            writer.string(function.name)
            for number in [function.heap, function.isolates, function.outside] { writer.number(number) }
        }
        return writer.bytes
    }

    public init(decoding bytes: [UInt8]) throws(PacketError) {
        var reader = PacketReader(bytes)
        origins = try OriginReport.read(&reader)
        functions = try reader.list { (reader) throws(PacketError) in
            var function = FunctionReport(name: try reader.string())
            function.heap = try reader.number()
            function.isolates = try reader.number()
            function.outside = try reader.number()
            return function
        }
        try reader.expectEnd()
    }
}

/// What a hook function takes, in a worker or in all of them.
public struct FunctionReport: Sendable, Equatable {
    public var name: String
    /// Bytes of JavaScript's heap and of buffers, of isolates inside workers.
    public var heap: UInt64 = 0
    /// Isolates inside workers.
    public var isolates: UInt64 = 0
    /// Workers that run it in a process of its own.
    public var outside: UInt64 = 0

    public init(name: String) { self.name = name }

    static func merged(_ reports: [FunctionReport]) -> [FunctionReport] {
        var places: [String: Int] = [:]
        var merged: [FunctionReport] = []
        for report in reports {
            guard let place = places[report.name] else {
                places[report.name] = merged.count
                merged.append(report)
                continue
            }
            merged[place].heap &+= report.heap
            merged[place].isolates &+= report.isolates
            merged[place].outside &+= report.outside
        }
        return merged
    }
}
