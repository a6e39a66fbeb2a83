import Foundation
import TLS

/// A certificate for `localhost` and its authority, made once per run with the `openssl` command.
struct TLSContext {
    struct Failure: Error { let text: String }

    let server: ServerContext
    let authority: [UInt8]

    init() throws {
        let files = try TLSContext.made.get()
        authority = files.authority
        server = try ServerContext([
            CertificateSource(certificate: files.certificate, key: files.key, certificateName: "origin.pem", keyName: "origin.key")
        ])
    }

    private struct Files: Sendable {
        var authority: [UInt8]
        var certificate: [UInt8]
        var key: [UInt8]
    }

    private static let made = Result { try make() }

    private static func make() throws -> Files {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-upstream-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        try openssl(["req", "-x509"] + key + ["-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Test CA"], directory)
        try openssl(["req"] + key + ["-keyout", "origin.key", "-out", "origin.csr", "-subj", "/CN=localhost"], directory)
        try "subjectAltName=DNS:localhost,IP:127.0.0.1\n".write(
            to: directory.appendingPathComponent("names"), atomically: true, encoding: .utf8)
        try openssl(
            ["x509", "-req", "-in", "origin.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
             "-extfile", "names", "-out", "origin.pem"], directory)
        func read(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: directory.appendingPathComponent(name))) }
        return Files(authority: try read("ca.pem"), certificate: try read("origin.pem"), key: try read("origin.key"))
    }

    private static func openssl(_ arguments: [String], _ directory: URL) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["openssl"] + arguments
        process.currentDirectoryURL = directory
        let output = Pipe()
        process.standardError = output
        process.standardOutput = output
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failure(text: String(decoding: text, as: UTF8.self)) }
    }
}
