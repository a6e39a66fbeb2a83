import Buffers

/// The statuses of gRPC that are no success, by their numbers (grpc/doc/statuscodes.md).
public enum GRPCStatus {
    /// As rule files spell them; the first is 1.
    public static let names = [
        "cancelled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists", "permission_denied", "resource_exhausted",
        "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal", "unavailable", "data_loss", "unauthenticated",
    ]

    public static func number(of name: String) -> Int? { names.firstIndex(of: name).map { $0 + 1 } }

    /// What stands for 500 and more in HTTP, as numbers do that gRPC does not know: the server's fault, not the caller's.
    public static func isFault(_ status: Int) -> Bool { faults.contains(status) || status > names.count }
    private static let faults = GRPCStatusSet(2, 4, 12, 13, 14, 15)
    public static let deadlineExceeded = 4
    public static let unavailable = 14
}

/// Some of these statuses.
public struct GRPCStatusSet: Sendable, Equatable {
    /// One bit per status.
    private var bits: UInt32 = 0

    public init() {}

    public init(_ statuses: Int...) { for status in statuses { insert(status) } }

    public var isEmpty: Bool { bits == 0 }

    public mutating func insert(_ status: Int) {
        if (1...16).contains(status) { bits |= 1 << UInt32(status) }
    }

    public func contains(_ status: Int) -> Bool { (1...16).contains(status) && bits >> UInt32(status) & 1 == 1 }
}

/// What a server of gRPC asks of those who repeat its calls (`grpc-retry-pushback-ms`, gRFC A6).
public enum GRPCPushback: Sendable, Equatable {
    /// It says nothing.
    case none
    /// To wait so many milliseconds.
    case wait(Int)
    /// Not to: it says so with a negative number, or with what is none.
    case never
}

extension Head {
    /// The status of gRPC among the fields of a head; nil when there is none that can be read.
    public var grpcStatus: Int? {
        guard let index = firstIndex(named: Span("grpc-status")) else { return nil }
        return bytes(fields[index].value).decimal()
    }

    /// How often a call says that it was tried before; 0 where it does not.
    public var grpcPreviousAttempts: Int {
        guard let index = firstIndex(named: Span("grpc-previous-rpc-attempts")) else { return 0 }
        return bytes(fields[index].value).decimal() ?? 0
    }

    public var grpcPushback: GRPCPushback {
        guard let index = firstIndex(named: Span("grpc-retry-pushback-ms")) else { return .none }
        guard let time = bytes(fields[index].value).decimal() else { return .never }
        return .wait(time)
    }
}
