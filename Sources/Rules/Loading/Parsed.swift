/// A value that the schema has accepted.
struct Parsed {
    enum Value {
        case text(String)
        case integer(Int)
        case boolean(Bool)
        /// Requests per milliseconds.
        case rate(Int, Int)
        case endpoint(Endpoint)
        case server(Server)
        case host(HostPattern)
        case list([Parsed])
        /// Keys with their places, in order.
        case named([(key: Parsed, value: Parsed)])
        case object(ParsedObject)
        case actions([ParsedAction])
        /// Kept as it was written, for a later step.
        case node
    }
    var value: Value
    var node: YAMLNode

    var position: SourcePosition { node.position }
    var text: String? {
        if case .text(let text) = value { return text }
        return nil
    }
    var integer: Int? {
        if case .integer(let integer) = value { return integer }
        return nil
    }
    var boolean: Bool? {
        if case .boolean(let boolean) = value { return boolean }
        return nil
    }
    var endpoint: Endpoint? {
        if case .endpoint(let endpoint) = value { return endpoint }
        return nil
    }
    var server: Server? {
        if case .server(let server) = value { return server }
        return nil
    }
    var host: HostPattern? {
        if case .host(let host) = value { return host }
        return nil
    }
    /// Elements of a list; empty for anything else.
    var list: [Parsed] {
        if case .list(let list) = value { return list }
        return []
    }
    var named: [(key: Parsed, value: Parsed)] {
        if case .named(let named) = value { return named }
        return []
    }
    var object: ParsedObject? {
        if case .object(let object) = value { return object }
        return nil
    }
    var actions: [ParsedAction] {
        if case .actions(let actions) = value { return actions }
        return []
    }
}

/// A map with known keys.
struct ParsedObject {
    var fields: [String: Parsed]
    var position: SourcePosition

    subscript(name: String) -> Parsed? { fields[name] }
}

/// An action that exists, is available and is allowed in its phase.
struct ParsedAction {
    var schema: ActionSchema
    var argument: Parsed?
    /// Of the action's name.
    var position: SourcePosition
}
