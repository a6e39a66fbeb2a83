import Buffers
import HTTP
import Reactor
import Telemetry
import Testing
import Upstream

/// Bodies in both directions: whole, framed, bounded, uncopied.
@Suite struct Bodies {
    @Test func aLargeResponseArrivesWholeAndUncopied() throws {
        let world = try World()
        let origin = try world.origin()
        let body = pattern(3_000_000)
        origin.onRequest = { $0.send(Array("HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body) }
        try world.serve(origin)
        let exchange = try world.run()
        #expect(same(exchange.received, body))
        #expect(world.pool.copied.partial < 65_536, "only a head that came in pieces is moved")
        #expect(exchange.events == ["responded 200", "ended"])
        try world.run()
        #expect(origin.accepted == 1)
        try world.end()
    }

    @Test func chunkedAndEndlessResponsesArriveWhole() throws {
        let world = try World()
        let origin = try world.origin()
        let body = pattern(100_000)
        origin.onRequest = { peer in
            if peer.head.text(peer.head.path) == "/chunked" {
                peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for start in stride(from: 0, to: body.count, by: 10_000) {
                    peer.send(Array("2710\r\n".utf8) + body[start..<start + 10_000] + Array("\r\n".utf8))
                }
                peer.send("0\r\nX-Trailer: a\r\n\r\n")
            } else {
                peer.send(Array("HTTP/1.1 200 OK\r\n\r\n".utf8) + body)
                peer.closeWhenSent()
            }
        }
        try world.serve(origin)
        #expect(same(try world.run("GET", "/chunked").received, body))
        #expect(same(try world.run("GET", "/endless").received, body))
        #expect(origin.accepted == 1)
        #expect(world.set?.connectionCount == 0, "a body that ends with the connection ends the connection")
        try world.end()
    }

    /// The end comes with the last bytes in one event: a short read must not hide it.
    @Test func aShortEndlessResponseEndsAtOnce() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { peer in
            peer.send("HTTP/1.1 200 OK\r\n\r\nshort")
            peer.close()
        }
        try world.serve(origin) { $0.idleTimeout = 5_000 }
        let began = world.reactor.preciseNow
        #expect(try world.run().text == "short")
        #expect(world.reactor.preciseNow - began < 4_000_000_000)
        try world.end()
    }

    @Test(arguments: [("HEAD", "200 OK", "Content-Length: 5000\r\n"), ("GET", "204 No Content", ""), ("GET", "304 Not Modified", "Content-Length: 5000\r\n")])
    func responsesWithoutABodyLeaveTheConnectionReady(method: String, status: String, fields: String) throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { $0.send("HTTP/1.1 \(status)\r\n\(fields)\r\n") }
        try world.serve(origin)
        for _ in 0..<3 {
            let exchange = TestExchange()
            var endedWithHead = false
            exchange.onResponse = { endedWithHead = $0.responseBodyEnded }
            try world.run(method, in: exchange)
            #expect(endedWithHead)
            #expect(exchange.events.count == 1, "nothing follows the head")
        }
        #expect(origin.accepted == 1)
        try world.end()
    }

    @Test func aSlowClientStopsTheReadingAndNoMoreThanTheLimitIsHeld() throws {
        let world = try World()
        let origin = try world.origin()
        let body = pattern(6_000_000)
        origin.onRequest = { $0.send(Array("HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body) }
        try world.serve(origin) { $0.idleTimeout = 100 }
        let exchange = TestExchange()
        exchange.takesBody = false
        try world.start(in: exchange)
        // It has taken nothing yet: little is held for it.
        try world.turn("the limit is reached") { exchange.responseBody.byteCount >= Appetite.least }
        // Far longer than the idle limit: a client that does not take is not the origin's fault.
        let until = world.reactor.preciseNow + 400_000_000
        try world.turn("time passes") { world.reactor.preciseNow > until }
        #expect(exchange.failure == nil)
        #expect(exchange.mostWaiting < Appetite.least + (64 << 10))
        #expect(world.pool.slabs.liveBytes < 1 << 20)
        exchange.takesBody = true
        exchange.take()
        try world.turn("it arrives") { exchange.isOver }
        #expect(same(exchange.received, body))
        #expect(exchange.mostWaiting < (256 + 64) << 10)
        try world.end()
    }

    @Test func aLargeRequestGoesOutWholeAndNoMoreThanTheLimitIsQueued() throws {
        let world = try World()
        let origin = try world.origin()
        origin.acceptsReading = false
        try world.serve(origin)
        let body = pattern(8_000_000)
        var sent = 0
        func supply(_ exchange: TestExchange) {
            while sent < body.count, exchange.requestBody.byteCount < 256 << 10 {
                let end = min(sent + 65_536, body.count)
                exchange.requestBody.append(copying: body[sent..<end].span, from: world.pool)
                sent = end
            }
            exchange.requestBodyEnded = sent == body.count
            exchange.originStream?.requestBodyArrived()
        }
        let exchange = TestExchange()
        exchange.onWantsBody = { supply($0) }
        try world.start("PUT", "/", in: exchange) {
            $0.request.body = .known(body.count)
            $0.requestBodyEnded = false
            supply($0)
        }
        var quiet = 0
        var last = -1
        try world.turn("the origin's socket is full") {
            quiet = sent == last ? quiet + 1 : 0
            last = sent
            return quiet > 10 && origin.accepted == 1
        }
        #expect(sent < body.count)
        #expect(world.pool.slabs.liveBytes < (256 + 128 + 3 * 64) << 10)
        origin.peers[0].startReading()
        try world.turn("it arrives") { exchange.isOver }
        #expect(origin.bodies.count == 1 && same(origin.bodies[0], body))
        try world.run()
        #expect(origin.accepted == 1)
        try world.end()
    }

    @Test func aBodyOfUnknownLengthIsChunked() throws {
        let world = try World()
        let origin = try world.origin()
        try world.serve(origin)
        let exchange = try world.start("POST", "/") {
            $0.setBody(Array("first ".utf8), length: .unknown, ended: false, pool: world.pool)
        }
        try world.turn("the head arrives") { origin.heads.count == 1 }
        exchange.requestBody.append(copying: Array("second".utf8).span, from: world.pool)
        exchange.requestBodyEnded = true
        exchange.originStream?.requestBodyArrived()
        try world.turn("it ends") { exchange.isOver }
        #expect(origin.bodies == [Array("first second".utf8)])
        #expect(origin.heads[0].contains("Transfer-Encoding: chunked"))
        try world.end()
    }

    @Test(arguments: [(9, true), (11, false)])
    func aBodyThatBreaksItsAnnouncedLengthNeverReachesTheNextRequest(count: Int, ended: Bool) throws {
        let world = try World()
        let origin = try world.origin()
        try world.serve(origin)
        let exchange = try world.run("POST") { $0.setBody(pattern(count), length: .known(10), ended: ended, pool: world.pool) }
        #expect(exchange.failure?.kind == .badRequest)
        #expect(world.set?.connectionCount == 0)
        try world.end()
    }

    @Test func anEarlyAnswerIsDeliveredAndItsConnectionClosed() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onHead = { $0.answer("too large", status: "413 Content Too Large") }
        try world.serve(origin)
        let exchange = try world.run("POST") { $0.setBody(pattern(1000), length: .known(1_000_000), ended: false, pool: world.pool) }
        #expect(exchange.response.status == 413)
        #expect(exchange.text == "too large")
        #expect(exchange.originStream == nil)
        #expect(world.set?.connectionCount == 0)
        try world.end()
    }

    @Test func interimResponsesAreReportedAndAFewOnly() throws {
        let world = try World()
        let origin = try world.origin()
        var count = 2
        origin.onRequest = { peer in
            for _ in 0..<count { peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n") }
            peer.answer("fine")
        }
        try world.serve(origin)
        let exchange = try world.run()
        #expect(exchange.interimStatuses == [103, 103])
        #expect(exchange.text == "fine")
        count = 100
        #expect(try world.run().failure?.kind == .originProtocol)
        try world.end()
    }

    @Test func expectationsAreNotPassedOn() throws {
        let world = try World()
        let origin = try world.origin()
        try world.serve(origin)
        try world.run("POST") {
            $0.request.add(.expect, "100-continue")
            $0.setBody(Array("x".utf8), pool: world.pool)
        }
        #expect(!origin.heads[0].lowercased().contains("expect"))
        try world.end()
    }
}
