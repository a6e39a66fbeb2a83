import CV8

// SAFETY: `raw` lives as long as this Isolate, which is one thread's; world numbers are checked by the shim.
extension Isolate {
    /// Makes a world: a context with the prelude as it was at the beginning, in this isolate and under its limits. Nothing
    /// that scripts left in another world is seen there. The isolate is born in world 0 and stays in the one it is in.
    /// - Returns: its number, to be used again once it is freed.
    public func makeWorld() throws(JSError) -> Int32 {
        var error: UnsafeMutablePointer<cv8_error>?
        let number = unsafe cv8_world_make(raw, &error)
        guard number >= 0 else { throw unsafe JSError(taking: error) }
        return number
    }

    /// What is called from here on runs in this world. Not inside a call. Values (`JSValue`) are to be used and let go of in
    /// the world they were made in.
    public func enterWorld(_ number: Int32) { unsafe cv8_world_enter(raw, number) }

    /// Lets go of a world that is not the present one.
    public func freeWorld(_ number: Int32) { unsafe cv8_world_free(raw, number) }

    public var worldCount: Int { unsafe cv8_world_count(raw) }
}
