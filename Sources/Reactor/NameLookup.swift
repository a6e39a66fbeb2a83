public import Buffers
import CCares
import CLinux
import Glibc

/// What a name came to; nothing when it does not resolve.
public struct NameAnswer: Sendable {
    /// In the order in which they are worth trying (RFC 6724).
    public var addresses: [IPAddress] = []
    public var services: [NamedService] = []
    /// How long the answer holds; 0 when nobody said.
    public var seconds = 0

    public init() {}
}

/// A target of an SRV record (RFC 2782).
public struct NamedService: Sendable, Equatable {
    public var host: String
    public var port: UInt16
    public var priority: UInt16
    public var weight: UInt16

    public init(host: String, port: UInt16, priority: UInt16, weight: UInt16) {
        self.host = host
        self.port = port
        self.priority = priority
        self.weight = weight
    }
}

/// Looks names up with c-ares on a thread of its own, any number at a time. Answers arrive on the reactor's thread.
/// `/etc/hosts` is asked first, then DNS.
public final class NameLookup {
    private let queue: LookupQueue

    /// - Throws: when no thread or event descriptor can be had.
    public init(reactor: Reactor) throws(SystemError) {
        queue = LookupQueue(mailbox: try reactor.makeMailbox())
        try queue.startThread()
    }

    deinit { queue.stop() }

    /// Called on the reactor's thread for every `look(up:id:)`.
    public func onAnswer(_ handler: @escaping (UInt64, NameAnswer) -> Void) {
        queue.deliver.withLock { $0 = Answer(handler) }
    }

    /// - Parameters:
    ///   - id: comes back with the answer.
    ///   - service: the name is one of SRV records.
    public func look(up name: String, id: UInt64, service: Bool = false) { queue.ask(LookupQueue.Question(name: name, id: id, service: service)) }

    /// `address:port` of each server to ask; none: those of `/etc/resolv.conf`.
    public func use(servers: [String]) { queue.use(servers.joined(separator: ",")) }
}

/// SAFETY: the closure is made and called on the reactor's thread only; the lock merely carries it there.
private struct Answer: @unchecked Sendable {
    let call: (UInt64, NameAnswer) -> Void
    init(_ call: @escaping (UInt64, NameAnswer) -> Void) { self.call = call }
}

private final class LookupQueue: Sendable {
    struct Question: Sendable {
        var name: String
        var id: UInt64
        var service: Bool
    }

    private struct State {
        var questions: [Question] = []
        var servers: String?
        var stopped = false
    }

    private let state = Guarded(State())
    let deliver = Guarded<Answer?>(nil)
    private let mailbox: Mailbox
    private let wake: Int32

    init(mailbox: Mailbox) {
        self.mailbox = mailbox
        wake = sluice_blocking_eventfd()
    }

    deinit { _ = sluice_close(wake) }

    func startThread() throws(SystemError) {
        guard wake >= 0 else { throw SystemError(call: "eventfd", code: -wake) }
        // SAFETY: the thread takes over one count on the queue and gives it back when it ends.
        let context = unsafe Unmanaged.passRetained(self).toOpaque()
        let result = unsafe sluice_thread_start(lookupThread, context)
        guard result == 0 else {
            unsafe Unmanaged<LookupQueue>.fromOpaque(context).release()
            throw SystemError(call: "pthread_create", code: -result)
        }
    }

    func ask(_ question: Question) {
        state.withLock { $0.questions.append(question) }
        _ = sluice_eventfd_signal(wake)
    }

    func use(_ servers: String) {
        state.withLock { $0.servers = servers }
        _ = sluice_eventfd_signal(wake)
    }

    func stop() {
        state.withLock { $0.stopped = true }
        _ = sluice_eventfd_signal(wake)
    }

    fileprivate func run() {
        // SAFETY: the queue outlives the resolver, which is used and freed in this function only.
        let dns = unsafe sluice_dns_new(answerCame, Unmanaged.passUnretained(self).toOpaque())
        defer { unsafe sluice_dns_free(dns) }
        while true {
            // SAFETY: the resolver is alive; a thread without one waits for the end.
            if let dns = unsafe dns { unsafe sluice_dns_run(dns, wake) }
            _ = sluice_eventfd_drain(wake)
            let taken = state.withLock { state in
                defer {
                    state.questions = []
                    state.servers = nil
                }
                return state
            }
            if taken.stopped { return }
            // SAFETY: as above; C copies the texts.
            if let dns = unsafe dns, let servers = taken.servers { _ = unsafe sluice_dns_servers(dns, servers) }
            for question in taken.questions {
                guard let dns = unsafe dns else {
                    answer(question.id, NameAnswer())
                    continue
                }
                if question.service {
                    unsafe sluice_dns_ask_service(dns, question.name, question.id)
                } else {
                    unsafe sluice_dns_ask(dns, question.name, question.id)
                }
            }
        }
    }

    fileprivate func answer(_ id: UInt64, _ answer: NameAnswer) {
        mailbox.post { [weak self] in self?.deliver.withLock { $0 }?.call(id, answer) }
    }
}

/// Called by the resolver on the lookup thread.
private let answerCame: @convention(c) (UnsafeMutableRawPointer?, UInt64, UnsafePointer<sluice_dns_record>?, Int32, Int32) -> Void = {
    context, id, records, count, seconds in
    // SAFETY: the context is the queue, which runs the resolver; there are `count` records during the call.
    guard let context = unsafe context else { return }
    var answer = NameAnswer()
    answer.seconds = Int(seconds)
    for index in 0..<Int(count) {
        guard let record = unsafe records?[index] else { break }
        if record.family == 0 {
            let host = unsafe withUnsafeBytes(of: record.host) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            answer.services.append(NamedService(host: host, port: record.port, priority: record.priority, weight: record.weight))
        } else {
            var raw = sluice_address()
            raw.family = UInt8(clamping: record.family)
            raw.bytes = record.bytes
            answer.addresses.append(IPAddress(raw))
        }
    }
    // SAFETY: the context is the queue, see above.
    unsafe Unmanaged<LookupQueue>.fromOpaque(context).takeUnretainedValue().answer(id, answer)
}

/// A thread's first function: outside any actor, and a plain C function pointer.
private func lookupThread(_ context: UnsafeMutableRawPointer?) {
    guard let context = unsafe context else { return }
    // SAFETY: `startThread` passed one count on the queue.
    unsafe Unmanaged<LookupQueue>.fromOpaque(context).takeRetainedValue().run()
}
