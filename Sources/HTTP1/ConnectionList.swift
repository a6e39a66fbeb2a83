public import HTTP

/// For messages that go on in another protocol than HTTP/1.1.
public enum ConnectionList {
    /// Removes what `Connection` lists, except what nobody may have removed (RFC 9110 section 7.6.1).
    public static func removeListed(from head: inout Head, isResponse: Bool = false) {
        guard head.contains(.connection) else { return }
        let rule = ConnectionFields(head, isResponse ? .response : .request, upgrade: false)
        var index = head.fields.count - 1
        while index >= 0 {
            let field = head.fields[index]
            if field.id == .other, !rule.keeps(field, head) { head.remove(at: index) }
            index -= 1
        }
        head.remove(.connection)
    }
}
