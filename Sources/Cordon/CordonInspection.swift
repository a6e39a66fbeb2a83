import Hooks
import Isolates
import Reactor

/// Debugging in a cordon: the worker's packets on one side, the inspector of the cordon's one function on the other.
///
/// While a script stands at a breakpoint the cordon's loop stands still, and this alone listens to the worker.
final class CordonInspection: IsolateInspector {
    let folder: String
    private let socket: ControlSocket
    /// Watches nothing but the socket. Made while descriptors may still be.
    private let standby: Reactor
    private var watch: StandbyWatch?
    private var function: HookFunction?
    private var isReady = false
    private var early: [InspectionPacket] = []
    private var messages = InspectionMessages()
    private var sessions: Set<Int32> = []
    /// Nanoseconds that scripts stood at breakpoints: no clock of the function counts them.
    private(set) var held: UInt64 = 0

    /// Packets that may come before the function is loaded.
    private static let earlyLimit = 1024

    /// - Parameter socket: blocks; what is sent waits for the worker to take it.
    init(_ socket: ControlSocket, folder: String) throws {
        self.socket = socket
        self.folder = folder
        standby = try Reactor()
        super.init()
        let watch = StandbyWatch(socket, self)
        self.watch = watch
        try standby.addLevelTriggered(watch)
    }

    /// The function, before its isolate is used.
    func adopt(_ function: HookFunction) { self.function = function }

    /// It is loaded, or could not be.
    func begin() {
        guard !isReady, function != nil else { return }
        isReady = true
        let packets = early
        early = []
        for packet in packets { handle(packet) }
    }

    // MARK: From the worker

    func received(_ bytes: [UInt8]) {
        guard let packet = InspectionPacket(bytes) else { return }
        if isReady { return handle(packet) }
        if early.count < CordonInspection.earlyLimit { early.append(packet) }
    }

    private func handle(_ packet: InspectionPacket) {
        switch packet {
        case .connect(let session):
            guard function?.connectInspector(session) == true else {
                return send(.ended(session, "the function cannot be loaded, or has too many clients"))
            }
            sessions.insert(session)
        case .disconnect(let session): disconnect(session)
        case .message(let session, let part, let more):
            let whole = messages.take(session, part, more: more, limit: InspectionPacket.messageLimit)
            if let whole, sessions.contains(session) { function?.inspect(session, whole) }
        case .ended: break
        }
    }

    private func disconnect(_ session: Int32) {
        guard sessions.remove(session) != nil else { return }
        messages.forget(session)
        function?.disconnectInspector(session)
    }

    /// The worker is gone: a script that stands at a breakpoint goes on, to its end.
    func workerIsGone() {
        if let watch { standby.remove(watch) }
        watch = nil
        for session in sessions { disconnect(session) }
    }

    // MARK: From V8

    override func send(_ session: Int32, _ message: Span<UInt8>) {
        for part in InspectionPacket.parts(session, message) { send(part) }
    }

    override func pause() {
        let began = standby.preciseNow
        standby.turn(maximumWait: nil)
        held += standby.preciseNow - began
    }

    override func ended() {
        for session in sessions { send(.ended(session, "the function's isolate is gone")) }
        sessions.removeAll()
    }

    private func send(_ packet: InspectionPacket) {
        // A worker that is gone is seen by the watch.
        try? socket.send(packet.bytes)
    }
}

private final class StandbyWatch: Channel {
    private let socket: ControlSocket
    private unowned let inspection: CordonInspection

    init(_ socket: ControlSocket, _ inspection: CordonInspection) {
        self.socket = socket
        self.inspection = inspection
        super.init(fd: socket.descriptor.number)
    }

    override func ready(_ events: ReadyEvents) {
        guard let receipt = try? socket.receive() else { return inspection.workerIsGone() }
        switch receipt {
        case .packet(let packet): inspection.received(packet.bytes)
        case .wouldBlock: break
        case .peerGone: inspection.workerIsGone()
        }
    }
}
