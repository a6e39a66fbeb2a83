public import Buffers
import CLinux

/// What one accept came to.
public enum AcceptResult: Sendable {
    case accepted(fd: Int32, address: IPAddress, port: UInt16)
    case wouldBlock
    case failed(SystemError)
}

/// Calls on listening sockets and on connections that have no channel yet.
public enum Listening {
    /// Accepts one connection; its descriptor does not block and has TCP_NODELAY.
    public static func accept(_ fd: Int32, reactor: Reactor) -> AcceptResult {
        var peer = sluice_address()
        reactor.syscalls.accept &+= 1
        // SAFETY: the struct is ours; C fills it.
        let result = unsafe sluice_accept(fd, &peer)
        if result >= 0 { return .accepted(fd: result, address: IPAddress(peer), port: peer.port) }
        // A connection that went away before we took it is no failure of ours.
        if result == -EAGAIN_CODE || result == -103 { return .wouldBlock }
        return .failed(SystemError(call: "accept4", code: -result))
    }

    /// Closes a connection that is not served, with a reset.
    public static func reject(_ fd: Int32) { _ = sluice_close_reset(fd) }

    /// Bounds what the kernel takes ahead for each connection of a listening socket: little, until a client has taken something.
    public static func limitUnsent(_ listener: Int32) { sendAhead(listener, .little) }

    public static func sendAhead(_ connection: Int32, _ ahead: SendAhead) { _ = sluice_limit_unsent(connection, ahead.rawValue) }
}

/// Bytes of one connection that the kernel holds besides those that are on their way: without a bound it takes megabytes for a client
/// that does not read. What it has taken costs twice: when it is cut into segments, and when the connection is reset and they are freed.
public enum SendAhead: Int32, Sendable {
    /// For a client that has taken nothing yet.
    case little = 32_768
    /// For one that has taken 128 KiB.
    case usual = 131_072
    /// For a client that has shown that it takes much, while it does: what is sent then goes in larger pieces, and both ends wake up
    /// less often.
    case far = 4_194_304

    /// Bytes that the kernel must have taken of a connection before it may hold the usual amount.
    public static let proof = 131_072
}

/// When the kernel calls a connection readable (SO_RCVLOWAT).
public enum ReceiveThreshold {
    /// Bytes; what every connection begins with.
    public static let none: Int32 = 1

    /// Readable once `bytes` wait, or at the end; reading takes what there is all the same. When more wait already, it is said again.
    public static func set(_ connection: Int32, _ bytes: Int32) { _ = sluice_receive_threshold(connection, bytes) }
}

/// What the kernel knows of a connection.
public enum ConnectionFacts {
    /// Smoothed round trip time to the peer in microseconds; nil when it is not TCP.
    public static func roundTrip(_ fd: Int32) -> Int? {
        let result = sluice_round_trip(fd)
        return result >= 0 ? Int(result) : nil
    }

    /// Bytes that the peer's kernel has taken since the connection began; nil when it is not TCP.
    public static func acknowledged(_ fd: Int32) -> Int? {
        let result = sluice_acknowledged(fd)
        return result >= 0 ? Int(result) : nil
    }

    /// Address and port that the peer connected to; nil when the socket is not of TCP.
    public static func localEnd(_ fd: Int32) -> (address: IPAddress, port: UInt16)? {
        var here = sluice_address()
        // SAFETY: the struct is ours; C fills it.
        guard unsafe sluice_local_address(fd, &here) == 0, here.family != 0 else { return nil }
        return (IPAddress(here), here.port)
    }

    /// The connection broke: its peer cannot be reached any more in either direction.
    public static func isBroken(_ fd: Int32) -> Bool { sluice_socket_error(fd) != 0 }
}

/// Starts connections to origins.
public enum Connecting {
    /// - Returns: the new descriptor, and whether the result is still to come (the descriptor then becomes writable).
    public static func start(_ address: IPAddress, port: UInt16, reactor: Reactor) throws(SystemError) -> (fd: Int32, inProgress: Bool) {
        var target = sluice_address(address, port: port)
        var inProgress: Int32 = 0
        reactor.syscalls.connect &+= 1
        // SAFETY: both pointers are to locals; C reads the one and writes the other.
        let fd = unsafe sluice_connect(&target, &inProgress)
        guard fd >= 0 else { throw SystemError(call: "connect", code: -fd, subject: "\(address.text):\(port)") }
        return (fd, inProgress != 0)
    }

    /// Connects to a Unix socket, which comes about at once or not at all.
    public static func startLocal(_ path: String, reactor: Reactor) throws(SystemError) -> Int32 {
        reactor.syscalls.connect &+= 1
        // SAFETY: C reads the path up to its end.
        let fd = unsafe sluice_connect_local(path)
        guard fd >= 0 else { throw SystemError(call: "connect", code: -fd, subject: path) }
        return fd
    }

    /// The error a finished connect left on its socket, or nil.
    public static func result(_ fd: Int32) -> SystemError? {
        let code = sluice_socket_error(fd)
        return code == 0 ? nil : SystemError(call: "connect", code: code)
    }
}

extension IPAddress {
    init(_ raw: sluice_address) {
        var bytes = InlineArray<16, UInt8>(repeating: 0)
        // SAFETY: a C array of 16 bytes.
        unsafe withUnsafeBytes(of: raw.bytes) { source in
            for index in 0..<16 { bytes[index] = unsafe source[index] }
        }
        var high: UInt64 = 0
        var low: UInt64 = 0
        for index in 0..<8 {
            high = high << 8 | UInt64(bytes[index])
            low = low << 8 | UInt64(bytes[8 + index])
        }
        self = raw.family == 6 ? IPAddress(v6High: high, v6Low: low) : IPAddress(v4: UInt32(truncatingIfNeeded: high >> 32))
    }
}

extension sluice_address {
    init(_ address: IPAddress, port: UInt16) {
        self.init()
        family = address.isV6 ? 6 : 4
        self.port = port
        let high = address.isV6 ? address.high : address.low << 32
        let low = address.isV6 ? address.low : 0
        // SAFETY: a C array of 16 bytes.
        unsafe withUnsafeMutableBytes(of: &bytes) { target in
            for index in 0..<8 {
                unsafe target[index] = UInt8(truncatingIfNeeded: high >> UInt64(56 - 8 * index))
                unsafe target[8 + index] = UInt8(truncatingIfNeeded: low >> UInt64(56 - 8 * index))
            }
        }
    }
}
