import Isolates

/// Debugging a function: clients speak to its isolate by numbers of sessions. The isolate is lost with its heap limit, and
/// the sessions with it (`IsolateInspector.ended`).
extension HookFunction {
    /// False: the function cannot be loaded, its host lets nobody look, or there are too many clients.
    public func connectInspector(_ session: Int32) -> Bool { readyIsolate()?.isolate.connectInspector(session) ?? false }
    public func disconnectInspector(_ session: Int32) { loaded?.isolate.disconnectInspector(session) }

    /// A message of a client. Not inside of a turn, unless the function stands at a breakpoint.
    public func inspect(_ session: Int32, _ message: [UInt8]) { loaded?.isolate.inspect(session, message) }

    /// It stands at a breakpoint.
    public var isPaused: Bool { loaded?.isolate.isPaused ?? false }
}
