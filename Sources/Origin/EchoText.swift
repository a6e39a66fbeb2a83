import Buffers
import HTTP
import Telemetry

/// Writes a request as JSON. One writer is used again for every request of a connection.
struct EchoText: ~Copyable {
    private var json = JSONLineWriter(capacity: 4096)

    var bytes: Span<UInt8> {
        @_lifetime(borrow self)
        borrowing get { json.bytes }
    }

    /// - Parameter body: its beginning; `bodyLength` is that of the whole.
    mutating func write(_ head: borrowing Head, body: borrowing Span<UInt8>, bodyLength: Int, requestNumber: Int) {
        json.reset()
        json.beginObject()
        json.field("method", head.bytes(head.methodName))
        json.field("path", head.bytes(head.path))
        if head.hasQuery { json.field("query", head.bytes(head.query)) }
        json.beginObject("headers")
        for index in head.fields.indices where isFirst(index, head) { writeField(index, head) }
        json.endObject()
        json.field("body_length", bodyLength)
        if bodyLength > 0 { json.field("body", body) }
        json.field("request", requestNumber)
        json.endObject()
        json.endLine()
    }

    /// A repeated field is shown once, its values joined.
    private func isFirst(_ index: Int, _ head: borrowing Head) -> Bool {
        let name = head.bytes(head.fields[index].name)
        return head.firstIndex(named: name) == index
    }

    private mutating func writeField(_ index: Int, _ head: borrowing Head) {
        let name = head.bytes(head.fields[index].name)
        var value = head.text(head.fields[index].value)
        var next = head.firstIndex(named: name, from: index + 1)
        while let found = next {
            value += ", " + head.text(head.fields[found].value)
            next = head.firstIndex(named: name, from: found + 1)
        }
        json.field(name.text().lowercased(), value)
    }
}
