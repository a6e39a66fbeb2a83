import Buffers
import Reactor

/// HTTP/2 without TLS on a listener that speaks HTTP/1.1 as well: clients that know it begin with its preface
/// (RFC 9113 section 3.3).
extension HTTP1Connection {
    /// No method of HTTP/1.1 is spelled like the preface's first bytes; three are enough to know.
    var beginsLikeHTTP2: Bool { HTTP1Connection.beginsLikeHTTP2(input) }

    private static func beginsLikeHTTP2(_ input: borrowing ReadBuffer) -> Bool {
        let bytes = input.bytes
        return bytes.count >= 3 && bytes.extracting(first: 3).equals("PRI")
    }

    /// Gives the socket and what was read to an HTTP/2 connection. False: nothing is left to be read here.
    func switchToHTTP2() -> Bool {
        worker.cancel(timer)
        timer.connection = nil
        if let runner {
            self.runner = nil
            worker.giveBack(runner)
        }
        let fd = self.fd
        worker.handOver(self)
        self.fd = -1
        var taken = ReadBuffer(pool: worker.pool)
        swap(&taken, &input)
        worker.serveHTTP2(listener, client, fd: fd, transport: transport, input: taken)
        return false
    }
}
