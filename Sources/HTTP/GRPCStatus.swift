import Buffers

/// The statuses of gRPC that are no success, by their numbers (grpc/doc/statuscodes.md).
public enum GRPCStatus {
    /// As rule files spell them; the first is 1.
    public static let names = [
        "cancelled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists", "permission_denied", "resource_exhausted",
        "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal", "unavailable", "data_loss", "unauthenticated",
    ]

    public static func number(of name: String) -> Int? { names.firstIndex(of: name).map { $0 + 1 } }
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

    public var grpcPushback: GRPCPushback {
        guard let index = firstIndex(named: Span("grpc-retry-pushback-ms")) else { return .none }
        guard let time = bytes(fields[index].value).decimal() else { return .never }
        return .wait(time)
    }
}
