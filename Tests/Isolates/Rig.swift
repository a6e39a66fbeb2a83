import Buffers
import Isolates

/// Operations that give back what they were given, so that a test sees both directions.
final class EchoOperations: NativeOperations {
    static let names = [
        "latin1", "utf8", "int", "double", "bool", "bytes", "note", "list", "fill", "keep", "json", "stop", "detach",
        "kind", "kept", "describe", "lose", "pass", "missing",
    ]
    var notes: [String] = []
    /// Lent chunks that a script passed on.
    var passed = Chain()
    var keptValue: JSValue?
    var lastError: JSError?
    var bigChunk = [UInt8](repeating: 7, count: 1 << 20)

    override func perform(_ operation: Int, _ call: borrowing NativeCall) throws(NativeFailure) {
        switch Self.names[operation] {
        case "latin1": try call.returnLatin1(call.latin1(0))
        case "utf8": try call.returnUTF8(call.utf8(0))
        case "int": call.returnInt(try call.int32(0) &+ 1)
        case "double": call.returnDouble(try call.double(0) * 2)
        case "bool": call.returnBool(try !call.bool(0))
        case "bytes": try call.returnBytes(call.bytes(0))
        case "note": notes.append(try call.string(0))
        case "list": try list(call)
        case "fill": try call.write(call.bytes(1), into: 0, at: call.int(2))
        case "keep": keptValue = try call.keep(0)
        default: try more(Self.names[operation], call)
        }
    }

    private func more(_ name: String, _ call: borrowing NativeCall) throws(NativeFailure) {
        switch name {
        case "json": try call.returnJSON(call.utf8(0))
        case "stop": call.terminate()
        case "lose":
            let bytes = try call.bytes(0)
            try call.detach(0)
            let first = bytes[4999]
            try call.returnString("\(first) of \(bytes.count), then \(call.bytes(0).count)")
        case "detach": try call.detach(0)
        case "kind": try call.returnString("\(call.kind(0))")
        case "kept": if let keptValue { call.returnValue(keptValue) } else { call.returnNull() }
        case "pass":
            let slice = call.loan(0)
            call.returnBool(slice != nil)
            if let slice { passed.append(slice) }
        case "describe": lastError = call.error(0)
        default: throw .error("no operation \(name)")
        }
    }

    private func list(_ call: borrowing NativeCall) throws(NativeFailure) {
        call.beginArray()
        for index in 0..<call.argumentCount {
            if call.kind(index) == .string { try call.appendUTF8(call.utf8(index)) } else { call.appendNull() }
        }
        call.appendInt(42)
    }
}

/// An isolate whose scripts reach `native`, with one turn around each thing a test does.
final class Rig {
    static let source = """
        globalThis.native = native;
        let madeAt = 'top level';
        return {
          invoke(namespace, ...rest) { return namespace.default(...rest); },
          sum(a, b, c, d) { return a + b + c + d; },
          apply(f, ...rest) { return f(...rest); },
          identity(x) { return x; },
          measure(a, b, c, chunk) { return a + b + c + chunk.length + (chunk.length ? chunk[chunk.length - 1] : 0); },
          take(a, b, c, chunk) { (globalThis.chunks ??= []).push(chunk); return chunk.length; },
          drop() { globalThis.chunks = []; },
          spin() { (async () => { for (;;) await 0; })(); return 1; },
        };
        """
    static let entries = ["invoke", "sum", "apply", "identity", "spin", "measure", "take", "drop"]
    static let snapshot = make(snapshot: true)
    static let plain = make(snapshot: false)
    static let invoke = 0, sum = 1, apply = 2, identity = 3, spin = 4, measure = 5, take = 6, drop = 7

    let operations = EchoOperations()
    let isolate: Isolate

    static func make(snapshot: Bool) -> Result<Prelude, JSError> {
        do throws(JSError) {
            return .success(try Prelude(
                name: "prelude.js", source: source, operations: EchoOperations.names, entries: entries,
                snapshot: snapshot))
        } catch {
            return .failure(error)
        }
    }

    init(snapshot: Bool = true, limits: IsolateLimits = IsolateLimits()) throws {
        let prelude = try (snapshot ? Self.snapshot : Self.plain).get()
        isolate = try Isolate(name: "test", prelude: prelude, limits: limits, operations: operations)
    }

    /// One turn: loads the module, calls its default export, runs microtasks.
    func run(
        files: [String: String], cpuMilliseconds: UInt64 = 2000, wallMilliseconds: UInt64 = 20_000
    ) -> (result: CallResult, report: TurnReport) {
        isolate.beginTurn(cpuMicroseconds: cpuMilliseconds * 1000, wallMilliseconds: wallMilliseconds)
        var result: CallResult
        do throws(CallFailure) {
            let module = try isolate.loadModule("/h/main.js", from: ModuleSources(files: files))
            result = isolate.call(Self.invoke, with: [.value(module)])
        } catch {
            result = error.result
        }
        if let stopped = isolate.runMicrotasks() { result = .terminated(stopped) }
        return (result, isolate.endTurn())
    }

    /// The body of a function, as the module's default export.
    func run(_ body: String, cpuMilliseconds: UInt64 = 2000) -> (result: CallResult, report: TurnReport) {
        run(files: ["/h/main.js": "export default function () { \(body) }"], cpuMilliseconds: cpuMilliseconds)
    }

    /// The result of a body as text: `native.note` collects.
    func notes(_ body: String) -> [String] {
        operations.notes = []
        let result = run(body).result
        if case .threw(let error) = result { return ["threw " + error.description] }
        return operations.notes
    }
}

extension CallFailure {
    var result: CallResult {
        switch self {
        case .threw(let error): .threw(error)
        case .terminated(let why): .terminated(why)
        }
    }
}

extension CallResult {
    var error: JSError? { if case .threw(let error) = self { error } else { nil } }
    var termination: Termination? { if case .terminated(let why) = self { why } else { nil } }
    var int: Int32? { if case .int(let value) = self { value } else { nil } }
    var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    var isUndefined: Bool { if case .undefined = self { true } else { false } }
}

extension CallAnswer {
    var int: Int32? { if case .int(let value) = kind { value } else { nil } }
}
