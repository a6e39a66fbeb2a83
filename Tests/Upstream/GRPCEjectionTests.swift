import HTTP
import Telemetry
import Testing

@testable import Upstream

/// What calls of gRPC over HTTP/1.1 say of their servers; over HTTP/2 it is the same code.
@Suite struct GRPCEjection {
    private func call(_ world: World, _ more: (TestExchange) -> Void = { _ in }) throws {
        try world.run("POST", "/t/Call") {
            $0.request.add(.contentType, "application/grpc")
            $0.setBody([0, 0, 0, 0, 0], pool: world.pool)
            more($0)
        }
    }

    private func answer(trailers status: Int) -> String {
        "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nGrpc-Status: \(status)\r\n\r\n"
    }

    @Test(arguments: [(14, 1), (4, 1), (13, 0), (0, 0), (99, 0)])
    func aStatusBehindTheMessagesCounts(status: Int, ejections: Int) throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { $0.send(answer(trailers: status)) }
        try world.serve(origin) { $0.ejection.failures = 3 }
        for _ in 0..<3 { try call(world) }
        #expect(world.metrics[.upstreamEjections] == ejections)
        try world.end()
    }

    @Test func aStatusOfHTTPComesFirst() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { $0.send("HTTP/1.1 503 No\r\nGrpc-Status: 0\r\nContent-Length: 0\r\n\r\n") }
        try world.serve(origin) { $0.ejection.failures = 3 }
        for _ in 0..<3 { try call(world) }
        #expect(world.metrics[.upstreamEjections] == 1)
        try world.end()
    }

    @Test func failuresOfBothKindsMakeOneRow() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { peer in
            if origin.requests.count == 2 { peer.send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n") } else { peer.send(answer(trailers: 14)) }
        }
        try world.serve(origin) { $0.ejection.failures = 3 }
        for _ in 0..<3 { try call(world) }
        #expect(world.metrics[.upstreamEjections] == 1)
        try world.end()
    }
}
