import Isolates

/// What the prelude calls, in this order: the names are the methods of `native`.
enum HookOperation: Int, CaseIterable {
    case header, headers, edit, text, setText, status, setStatus
    case hasBody, readBody, setBody, finish, fail, tailDone, passThrough
    case subrequest, cancelSubrequest, next
    case setTimer, rearmTimer, clearTimer, now, random, log
    case variable, setVariable, state, setState, failure
    case encode, decode, detach
    case rejected
    case pullBody, cancelBody, streamBody, writeBody, endBody, failBody
    case store, inList, addLater
}

/// What the host calls, in this order: the names are what `entries.js` returns.
enum HookEntry: Int, CaseIterable {
    case install, bind, start, bodyArrived, bodyFailed, answered, answerFailed, originArrived, originFailed, fire, abandon
    case bodyChunk, bodyEnd, bodyRoom, rejections
    case stored
}

/// What the handler of a call settled on; `codes` in `entries.js`.
enum HookCode {
    static let proceed: Int32 = 0
    static let pending: Int32 = 1
    static let respond: Int32 = 2
    static let deny: Int32 = 3
    static let tail: Int32 = 16
}

/// The Web API and the dispatcher that every function's isolate starts with.
enum HookPrelude {
    static let name = "sluice:prelude"

    /// The order in which the files depend on each other.
    static let files = [
        "base", "abort", "events", "text", "decoder", "url-host", "url-parser", "url", "headers",
        "streams-base", "streams-readable", "streams-bytes", "streams-byob", "streams-writable", "streams-pipe",
        "streams-stream", "streams-transform", "text-streams", "html-rewriter", "compression", "blob", "body", "body-out", "request", "response",
        "console", "timers", "urlpattern-parts", "urlpattern", "crypto", "crypto-secret", "crypto-pairs", "clone", "context", "fetch", "kv", "entries",
    ]

    static var source: String {
        let texts = Dictionary(uniqueKeysWithValues: EmbeddedText.files.map { ("\($0.name)", $0.text) })
        return "\"use strict\";\n" + files.map { texts[$0] ?? "throw new Error('no \($0).js')" }.joined(separator: "\n")
    }

    private static let made: Result<Prelude, JSError> = {
        do throws(JSError) {
            return .success(try Prelude(
                name: name, source: source,
                operations: HookOperation.allCases.map { "\($0)" }, entries: HookEntry.allCases.map { "\($0)" }))
        } catch {
            return .failure(error)
        }
    }()

    /// Made once per process; the first call takes some milliseconds.
    static func shared() throws(JSError) -> Prelude { try made.get() }
}
