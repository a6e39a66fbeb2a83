import CV8

/// Carries the messages of Chrome's DevTools between an isolate and its clients. Subclass it.
open class IsolateInspector {
    public init() {}

    /// A message for the client of a session, JSON in ASCII.
    open func send(_ session: Int32, _ message: Span<UInt8>) {}
    /// A script stands at a breakpoint: wait for messages, hand some to `Isolate.inspect` and return. Called again as long
    /// as the script stands there. The clocks of its turn stand still.
    open func pause() {}
    /// The isolate is gone, and with it every session.
    open func ended() {}
}

// SAFETY: `raw` lives as long as this Isolate, which is one thread's; the shim keeps no pointer but the inspector's, which
// it gives back by releaseInspector, once, when the isolate goes.
extension Isolate {
    /// Lets clients in from now on. To be called once, before modules are loaded.
    /// - Parameter folder: where files with relative names are, as DevTools are told.
    public func openInspector(_ inspector: IsolateInspector, folder: String) {
        let context = unsafe Unmanaged.passRetained(inspector).toOpaque()
        var host = unsafe cv8_inspector_host(
            context: context, send: sendInspected, pause: pauseInspected, release: releaseInspector)
        let opened = unsafe withTexts([folder]) { unsafe cv8_inspector_open(raw, $0[0], &host) }
        precondition(opened, "this isolate has an inspector already")
    }

    /// False: there are too many clients.
    public func connectInspector(_ session: Int32) -> Bool { unsafe cv8_inspector_connect(raw, session) }

    /// A client is gone. When it was the last, a script that stands at a breakpoint goes on.
    public func disconnectInspector(_ session: Int32) { unsafe cv8_inspector_disconnect(raw, session) }

    /// A message of a client; what it evaluates has limits of its own. Outside of turns, or in `IsolateInspector.pause`.
    public func inspect(_ session: Int32, _ message: [UInt8]) {
        unsafe message.withUnsafeBufferPointer { buffer in
            unsafe cv8_inspector_dispatch(raw, session, cv8_bytes(bytes: buffer.baseAddress ?? emptyBytes, count: buffer.count))
        }
    }

    /// A script stands at a breakpoint.
    public var isPaused: Bool { unsafe cv8_inspector_is_paused(raw) }
}

// What the shim calls. Plain functions: closures would belong to an actor in some contexts.
// SAFETY: the context is the inspector that openInspector retained, and it is released by the last of these calls only.
nonisolated private func sendInspected(context: UnsafeMutableRawPointer?, session: Int32, message: cv8_bytes) {
    guard let context = unsafe context else { return }
    let inspector = unsafe Unmanaged<IsolateInspector>.fromOpaque(context).takeUnretainedValue()
    let bytes = unsafe Span(_unsafeElements: UnsafeBufferPointer(start: message.bytes, count: message.count))
    inspector.send(session, bytes)
}

nonisolated private func pauseInspected(context: UnsafeMutableRawPointer?) {
    // SAFETY: as above.
    guard let context = unsafe context else { return }
    unsafe Unmanaged<IsolateInspector>.fromOpaque(context).takeUnretainedValue().pause()
}

nonisolated private func releaseInspector(context: UnsafeMutableRawPointer?) {
    // SAFETY: as above, and this is the last call.
    guard let context = unsafe context else { return }
    unsafe Unmanaged<IsolateInspector>.fromOpaque(context).takeRetainedValue().ended()
}
