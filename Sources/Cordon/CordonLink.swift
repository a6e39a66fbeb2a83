public import Reactor

/// What a worker makes for a new cordon, before there is a process.
public struct CordonLink: ~Copyable {
    public let ring: SharedRing
    /// Tells of the process's death by its end; nothing is read from it.
    public let socket: ControlSocket
    /// The other end, for the process.
    public let theirs: ControlSocket
    let workerEvent: OwnedDescriptor
    let cordonEvent: OwnedDescriptor

    /// Packets that a cordon is born with: options, then the others in this order, the first without, the others with a descriptor.
    enum Birth: UInt8 { case ring = 1, workerEvent, cordonEvent, options, snapshot }

    /// - Parameter snapshot: sealed memory with what `HookSnapshot.made` gave, which spares the process some tens of milliseconds.
    public init(_ options: CordonOptions = CordonOptions(), snapshot: Int32? = nil) throws(SystemError) {
        let ring = try SharedRing()
        let workerEvent = try EventSignal.create(), cordonEvent = try EventSignal.create()
        let (socket, theirs) = try ControlSocket.pair()
        try socket.send(options.bytes)
        if let snapshot { try socket.send([Birth.snapshot.rawValue], passing: snapshot) }
        try socket.send([Birth.ring.rawValue], passing: ring.descriptor.number)
        try socket.send([Birth.workerEvent.rawValue], passing: workerEvent.number)
        try socket.send([Birth.cordonEvent.rawValue], passing: cordonEvent.number)
        self.ring = ring
        self.socket = socket
        self.theirs = theirs
        self.workerEvent = workerEvent
        self.cordonEvent = cordonEvent
    }
}
