import CV8

/// Walks the import graph: compiles each file once, links each import to its module, then runs the root.
// SAFETY: the isolate lives during a load, because the Isolate that loads is borrowed; module numbers are the shim's.
struct ModuleLoader {
    let core: IsolateCore
    let sources: ModuleSources
    private var modules: [String: Int32] = [:]

    init(core: IsolateCore, sources: ModuleSources) {
        self.core = core
        self.sources = sources
    }

    mutating func load(_ path: String) throws(CallFailure) -> JSValue {
        unsafe cv8_modules_reset(core.raw)
        defer { if let raw = unsafe core.pointer { unsafe cv8_modules_reset(raw) } }
        guard let text = sources.text(at: path) else {
            throw .threw(JSError(message: "the module is not among the files given", file: path))
        }
        let root = try compile(path, text)
        var open: [(path: String, module: Int32)] = [(path, root)]
        while let next = open.popLast() {
            try link(next.module, at: next.path, &open)
        }
        return try run(root, path)
    }

    /// Compiles one module by itself, for `Isolate.bytecode`.
    func bytecode(of path: String, _ text: String) -> [UInt8] {
        unsafe cv8_modules_reset(core.raw)
        defer { unsafe cv8_modules_reset(core.raw) }
        var loader = self
        // Functions too that only calls would compile: the first call is what a cache is for. What is large has much that is
        // never called, and all of it would have to be read.
        let isSmall = text.utf8.count <= V8Engine.eagerLimit
        if isSmall { V8Engine.compileEagerly(true) }
        let module = try? loader.compile(path, text)
        if isSmall { V8Engine.compileEagerly(false) }
        guard let module else { return [] }
        var count = 0
        guard let data = unsafe cv8_module_cache(core.raw, module, &count) else { return [] }
        // SAFETY: `data` is `count` bytes that are ours, freed here.
        defer { unsafe cv8_data_free(data) }
        return unsafe Array(UnsafeBufferPointer(start: data, count: count))
    }

    private mutating func compile(_ path: String, _ text: String) throws(CallFailure) -> Int32 {
        var error: UnsafeMutablePointer<cv8_error>?
        var used = false
        let cache = sources.caches[path] ?? []
        // SAFETY: the texts and the bytes live during the call; V8 copies them.
        let module = unsafe withTexts([path, text]) { texts in
            unsafe cache.withUnsafeBufferPointer { cache in
                let bytes = unsafe cv8_bytes(bytes: cache.baseAddress ?? emptyBytes, count: cache.count)
                return path.hasSuffix(".json")
                    ? unsafe cv8_module_json(core.raw, texts[0], texts[1], &error)
                    : unsafe cv8_module_compile(core.raw, texts[0], texts[1], bytes, &used, &error)
            }
        }
        if !cache.isEmpty { core.noteCache(used: used) }
        return try unsafe remember(path, module, error)
    }

    /// A file of WebAssembly.
    private mutating func compile(_ path: String, _ binary: [UInt8]) throws(CallFailure) -> Int32 {
        var error: UnsafeMutablePointer<cv8_error>?
        // SAFETY: the name and the bytes live during the call; V8 copies them.
        let module = unsafe withTexts([path]) { texts in
            unsafe binary.withUnsafeBufferPointer { buffer in
                unsafe cv8_module_wasm(core.raw, texts[0], cv8_bytes(bytes: buffer.baseAddress ?? emptyBytes, count: buffer.count), &error)
            }
        }
        return try unsafe remember(path, module, error)
    }

    /// - Parameter error: taken over.
    private mutating func remember(_ path: String, _ module: Int32, _ error: UnsafeMutablePointer<cv8_error>?) throws(CallFailure) -> Int32 {
        guard module >= 0 else {
            if let stop = unsafe Termination(rawValue: cv8_turn_stop(core.raw)) { throw .terminated(stop) }
            throw unsafe .threw(JSError(taking: error))
        }
        modules[path] = module
        return module
    }

    private mutating func link(
        _ module: Int32, at path: String, _ open: inout [(path: String, module: Int32)]
    ) throws(CallFailure) {
        let count = unsafe cv8_module_request_count(core.raw, module)
        for index in 0..<count {
            let request = unsafe ImportRequest(core.raw, module, index)
            let target = resolve(request.specifier, from: path)
            if let known = modules[target] {
                try check(request, target, path)
                unsafe cv8_module_link(core.raw, module, index, known)
                continue
            }
            try check(request, target, path)
            let made = if let binary = sources.binaries[target] { try compile(target, binary) } else { try compile(target, sources.text(at: target) ?? "") }
            unsafe cv8_module_link(core.raw, module, index, made)
            if !target.hasSuffix(".json"), sources.binaries[target] == nil { open.append((target, made)) }
        }
    }

    /// What can be wrong with an import before its target is looked at.
    private func check(_ request: ImportRequest, _ target: String, _ path: String) throws(CallFailure) {
        let complaint: String
        let isJSON = target.hasSuffix(".json")
        if sources.text(at: target) == nil, sources.binaries[target] == nil {
            complaint = "cannot import '\(request.specifier)': there is no file '\(target)'"
        } else if isJSON && request.type != "json" {
            complaint = "cannot import '\(request.specifier)': a JSON file needs assert { type: \"json\" }"
        } else if !isJSON && !request.type.isEmpty {
            complaint = "cannot import '\(request.specifier)' as \(request.type): only .json files have a type"
        } else if request.assertionCount > (request.type.isEmpty ? 0 : 1) {
            complaint = "cannot import '\(request.specifier)': the only assertion known is type"
        } else {
            return
        }
        throw .threw(JSError(
            message: complaint, file: path, line: request.line, column: request.column,
            sourceLine: lineText(of: path, request.line)))
    }

    private func lineText(of path: String, _ line: Int) -> String {
        let lines = (sources.text(at: path) ?? "").split(separator: "\n", omittingEmptySubsequences: false)
        return lines.indices.contains(line - 1) ? String(lines[line - 1]) : ""
    }

    private func run(_ root: Int32, _ path: String) throws(CallFailure) -> JSValue {
        var namespace: Int32 = -1
        var settled = false
        var error: UnsafeMutablePointer<cv8_error>?
        // SAFETY: all results are written before the call returns.
        let status = unsafe cv8_module_run(core.raw, root, &namespace, &settled, &error)
        var value = unsafe cv8_value()
        unsafe value.handle = namespace
        let kept = try unsafe RawResult(core: core, status: status, value: value, error: error).kept()
        guard settled else {
            throw .threw(JSError(message: "top-level await has not settled when the module was loaded", file: path))
        }
        return kept
    }
}

/// One `import` of a module, as the shim reads it.
private struct ImportRequest {
    let specifier: String
    let type: String
    let assertionCount: Int
    let line, column: Int

    init(_ isolate: OpaquePointer, _ module: Int32, _ index: Int) {
        var raw = unsafe cv8_module_request()
        // SAFETY: the shim hands both texts over, NUL-terminated; they are freed here.
        unsafe cv8_module_request_read(isolate, module, index, &raw)
        specifier = unsafe String(cString: raw.specifier)
        type = unsafe String(cString: raw.type)
        assertionCount = unsafe raw.assertion_count
        line = unsafe Int(raw.line)
        column = unsafe Int(raw.column)
        unsafe cv8_text_free(raw.specifier)
        unsafe cv8_text_free(raw.type)
    }
}

/// `./` and `../` against the importer's folder; everything else is a key as it stands.
func resolve(_ specifier: String, from importer: String) -> String {
    guard specifier.hasPrefix("./") || specifier.hasPrefix("../") else { return specifier }
    var parts = importer.split(separator: "/", omittingEmptySubsequences: false).dropLast().map(String.init)
    for part in specifier.split(separator: "/") {
        switch part {
        case ".": continue
        case "..":
            if let last = parts.last, !last.isEmpty, last != ".." { parts.removeLast() } else if parts.isEmpty { parts.append("..") }
        default: parts.append(String(part))
        }
    }
    return parts.joined(separator: "/")
}
