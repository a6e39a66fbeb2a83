import Buffers
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
    case message, setMessage
    case pullBody, cancelBody, streamBody, writeBody, endBody, failBody
    case store, inList, addLater
    case fieldNumber
    case acceptSocket, sendSocket, closeSocket, socketReady, socketBuffered, failSocket
    case budget
    case pullAnswer, writeAsk, endAsk
    case work
}

/// What the host calls, in this order: the names are what `entries.js` returns.
enum HookEntry: Int, CaseIterable {
    case install, bind, start, bodyArrived, bodyFailed, answered, answerFailed, originArrived, originFailed, fire, abandon
    case bodyChunk, bodyEnd, bodyRoom, rejections
    case stored
    case webAssembly
    case socketOpened, socketMessage, socketClosed, upgraded
    case answering, answerChunk, answerEnd, askRoom
    case worked
    case leave
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
        "console", "timers", "urlpattern-parts", "urlpattern", "crypto", "crypto-secret", "crypto-pairs", "clone", "streams-transfer", "context", "fetch", "websocket", "kv", "cache", "webassembly", "entries",
    ]

    /// Neighbours among `files` that are evaluated when somebody first asks for one of their interfaces (`realm.part`): until then
    /// their functions take no memory. The streams are none of them: that saves 35 KiB of 1.3 MB and costs whoever
    /// touches one 0.8 ms, and 190 KiB more than they take in the snapshot.
    static let parts = [
        Part(from: "html-rewriter", to: "html-rewriter", interfaces: ["HTMLRewriter"]),
        Part(from: "urlpattern-parts", to: "urlpattern", interfaces: ["URLPattern"]),
    ]

    struct Part {
        /// The first and the last of its files.
        let from, to: String
        let interfaces: [String]

        var opening: String { "realm.part([\(interfaces.map { "\"\($0)\"" }.joined(separator: ", "))], (realm) => {" }
    }

    static var source: String {
        let texts = Dictionary(uniqueKeysWithValues: EmbeddedText.files.map { ("\($0.name)", $0.text) })
        var lines = ["\"use strict\";"]
        for file in files {
            if let begun = parts.first(where: { $0.from == file }) { lines.append(begun.opening) }
            lines.append(texts[file] ?? "throw new Error('no \(file).js')")
            if parts.contains(where: { $0.to == file }) { lines.append("});") }
        }
        return lines.joined(separator: "\n")
    }

    /// What hooks do first, so that its code is compiled in the snapshot.
    static var rehearsal: String { EmbeddedText.files.first { "\($0.name)" == "rehearsal" }?.text ?? "" }

    static var operations: [String] { HookOperation.allCases.map { "\($0)" } }
    static var entries: [String] { HookEntry.allCases.map { "\($0)" } }

    private static let made: (prelude: Result<Prelude, JSError>, isNew: Bool) = {
        let offered = HookSnapshot.offered.withLock { bytes in
            defer { bytes = [] }
            return bytes
        }
        if !offered.isEmpty, let ready = Prelude(name: name, source: source, operations: operations, entries: entries, rehearsal: rehearsal, exported: offered) {
            return (.success(ready), false)
        }
        do throws(JSError) {
            return (.success(try Prelude(name: name, source: source, operations: operations, entries: entries, rehearsal: rehearsal)), true)
        } catch {
            return (.failure(error), true)
        }
    }()

    /// Made once per process; the first call takes some milliseconds, unless a snapshot was offered.
    static func shared() throws(JSError) -> Prelude { try made.prelude.get() }

    /// Whether the snapshot was made here.
    static var isNew: Bool { made.isNew }
}
