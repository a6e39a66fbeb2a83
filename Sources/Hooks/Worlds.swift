import Isolates

/// Functions with `isolation: request`: each call runs in a world that nobody used before and nobody uses after it.
extension HookFunction {
    /// Calls at once in worlds of their own; each holds about 0.3 MB of the function's memory.
    static let worldLimit = 64

    /// Gives a call its world. False when there is none: too many calls, or no memory.
    func giveWorld(to call: HookCall, _ loaded: LoadedIsolate) -> Bool {
        if let ready = loaded.readyWorlds.popLast() {
            call.world = ready
            return true
        }
        tidyWorlds(loaded)
        guard loaded.worldsInUse < Self.worldLimit, let made = try? makeWorld(loaded) else { return false }
        call.world = made
        return true
    }

    /// Loads the module in a new world; about a millisecond.
    func makeWorld(_ loaded: LoadedIsolate) throws(HookLoadError) -> Int32 {
        let number: Int32
        do throws(JSError) {
            number = try loaded.isolate.makeWorld()
        } catch {
            throw loadError("no world could be made: \(error.message)")
        }
        loaded.worldsInUse += 1
        loaded.isolate.enterWorld(number)
        do throws(HookLoadError) {
            try furnish(loaded)
        } catch {
            loaded.usedWorlds.append(number)
            throw error
        }
        tally.worldsMade += 1
        return number
    }

    /// A call is over: nobody sees its world again.
    func takeWorld(from call: HookCall) {
        guard call.world >= 0 else { return }
        loaded?.usedWorlds.append(call.world)
        call.world = -1
        runtime.untidy(self)
    }

    /// Frees worlds that calls have left. Not inside a turn.
    func tidyWorlds(_ loaded: LoadedIsolate) {
        guard !loaded.usedWorlds.isEmpty else { return }
        // The isolate has to be somewhere else.
        loaded.isolate.enterWorld(0)
        for world in loaded.usedWorlds where world != 0 {
            loaded.isolate.freeWorld(world)
            loaded.worldsInUse -= 1
        }
        loaded.usedWorlds.removeAll(keepingCapacity: true)
    }

    /// Makes the world of the next call, so that it need not wait.
    func prepareWorld() {
        guard let loaded, source.isolation == .request else { return }
        tidyWorlds(loaded)
        guard loaded.readyWorlds.isEmpty, loaded.worldsInUse < Self.worldLimit, let made = try? makeWorld(loaded) else { return }
        loaded.readyWorlds.append(made)
    }
}

extension HookRuntime {
    func untidy(_ function: HookFunction) {
        guard !untidied.contains(where: { $0 === function }) else { return }
        untidied.append(function)
        if untidied.count == 1 { host.wantsTidying() }
    }

    /// Puts functions in order after their calls: to be called soon after `HookHost.wantsTidying`, when no request waits.
    public func tidy() {
        let some = untidied
        untidied.removeAll(keepingCapacity: true)
        for function in some { function.prepareWorld() }
    }
}
