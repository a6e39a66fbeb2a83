public import Buffers
import CLinux
import Telemetry

/// Log lines as datagrams: to syslog (RFC 5424) or to the journal of systemd. One line is one datagram and one system call.
public final class LogDatagrams: LogTarget {
    public enum Place: Sendable, Equatable {
        /// A syslog daemon's socket, `/dev/log` as a rule.
        case syslog(path: String)
        case syslogUDP(IPAddress, UInt16)
        /// The journal's own protocol, so that a line keeps its identifier and priority.
        case journal(path: String)

        public static let usualJournal = Place.journal(path: "/run/systemd/journal/socket")
    }

    private let place: Place
    private var descriptor: OwnedDescriptor?
    private var buffer: LogBuffer
    private var prefix: [UInt8] = []
    private var prefixSecond = -1
    /// Nobody answered: not before this second again.
    private var nextAttempt = 0
    private var failure: Int32 = 0
    private var lost = 0
    private let process: String

    /// - Parameter limit: bytes of lines that wait.
    public init(_ place: Place, limit: Int = 256 * 1024) {
        self.place = place
        buffer = LogBuffer(limit: limit)
        process = "\(LogDatagrams.hostName()) sluice \(ProcessSetup.pid) access - "
        super.init()
        connect()
    }

    public override var lines: Int { buffer.lines }
    public override var dropped: Int { buffer.dropped + lost }
    public override var hasPending: Bool { !buffer.isEmpty }
    public override var lastError: Int32 { failure }

    public override func append(_ line: borrowing Span<UInt8>) { buffer.append(line) }

    public override func reopen() throws(SystemError) {
        descriptor = nil
        nextAttempt = 0
        flush()
    }

    private func connect() {
        let result: Int32
        switch place {
        case .syslog(let path), .journal(let path):
            // SAFETY: the string is NUL-terminated for the call.
            result = unsafe sluice_datagram_local(path)
        case .syslogUDP(let address, let port):
            var target = sluice_address(address, port: port)
            // SAFETY: a local that outlives the call.
            result = unsafe sluice_datagram(&target)
        }
        if result >= 0 { descriptor = OwnedDescriptor(adopting: result) } else { failure = -result }
    }

    public override func flush() {
        while !buffer.isEmpty {
            if descriptor == nil {
                let now = Int(sluice_wall_seconds())
                guard now >= nextAttempt || now + 2 < nextAttempt else { return buffer.discard() }
                nextAttempt = now + 1
                connect()
                guard descriptor != nil else { return buffer.discard() }
            }
            let length = buffer.wholeLines(within: 1)
            guard send(length) else { return }
            buffer.consume(length)
        }
    }

    /// Sends the first line. False when it has to wait.
    private func send(_ length: Int) -> Bool {
        makePrefix(length)
        let number = descriptor?.number ?? -1
        // Without its line feed.
        let result = LogDatagrams.send(prefix.span, buffer.bytes.extracting(first: max(0, length - 1)), number)
        switch result {
        case 0...:
            failure = 0
        case -11: return false  // EAGAIN: the reader is slow
        case -90:  // EMSGSIZE: this line is too long for it
            failure = 90
            lost += 1
        default:
            failure = Int32(-result)
            lost += 1
            descriptor = nil
        }
        return true
    }

    private static func send(_ first: borrowing Span<UInt8>, _ second: borrowing Span<UInt8>, _ number: Int32) -> Int {
        unsafe first.withUnsafeBytes { first in
            unsafe second.withUnsafeBytes { second in
                // SAFETY: C reads both buffers, by their counts, during the call.
                unsafe sluice_send_parts(number, first.baseAddress, first.count, second.baseAddress, second.count)
            }
        }
    }

    /// Facility local0, severity informational; the message is the line as it is.
    private func makePrefix(_ length: Int) {
        if case .journal = place {
            prefix.removeAll(keepingCapacity: true)
            prefix += Array("PRIORITY=6\nSYSLOG_FACILITY=16\nSYSLOG_IDENTIFIER=sluice\n".utf8)
            JournalFields.append(buffer.bytes.extracting(first: max(0, length - 1)), to: &prefix)
            prefix += Array("MESSAGE=".utf8)
            return
        }
        let second = Int(sluice_wall_seconds())
        guard second != prefixSecond else { return }
        prefixSecond = second
        prefix = Array("<134>1 \(SystemClock.timestamp()) \(process)".utf8)
    }

    private static func hostName() -> String {
        // SAFETY: C writes a NUL-terminated name of at most 255 bytes.
        let name = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            guard let base = buffer.baseAddress, unsafe sluice_host_name(base) == 0 else { return "" }
            return unsafe String(cString: base)
        }
        // RFC 5424 section 6.2.4: printable ASCII, or "-".
        let isGood = !name.isEmpty && name.utf8.allSatisfy { $0 > 32 && $0 < 127 }
        return isGood ? name : "-"
    }
}
