import Foundation
import TLS

/// Certificates made for one test run with the `openssl` command, in a directory that is removed at once.
struct TestCertificates {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    static let shared = Result { try TestCertificates() }

    let authority: [UInt8]
    let ecdsa: CertificateSource
    let rsa: CertificateSource
    let wildcard: CertificateSource
    let otherKey: [UInt8]
    let expired: CertificateSource
    let der: [UInt8]
    let encryptedKey: [UInt8]

    private init() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let maker = Maker(directory: directory)
        try maker.run(
            ["req", "-x509"] + maker.ec + ["-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=Test CA"])
        authority = try maker.read("ca.pem")
        ecdsa = try maker.certificate("exact", names: ["www.example.test", "example.test"], key: maker.ec)
        rsa = try maker.certificate("rsa", names: ["www.example.test", "example.test"], key: ["-newkey", "rsa:2048", "-nodes"])
        wildcard = try maker.certificate("wildcard", names: ["*.wild.test"], key: maker.ec)
        expired = try maker.certificate("expired", names: ["old.test"], key: maker.ec, days: "-1")
        otherKey = wildcard.key
        try maker.run(["x509", "-in", "exact.pem", "-outform", "der", "-out", "exact.der"])
        der = try maker.read("exact.der")
        try maker.run(["ec", "-in", "exact.key", "-aes128", "-passout", "pass:secret", "-out", "locked.key"])
        encryptedKey = try maker.read("locked.key")
    }

    private struct Maker {
        let directory: URL
        let ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

        func run(_ arguments: [String]) throws {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = ["openssl"] + arguments
            process.currentDirectoryURL = directory
            let errors = Pipe()
            process.standardError = errors
            process.standardOutput = errors
            try process.run()
            let text = errors.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            guard process.terminationStatus == 0 else {
                throw Failure(description: "openssl \(arguments): \(String(decoding: text, as: UTF8.self))")
            }
        }

        func read(_ name: String) throws -> [UInt8] {
            Array(try Data(contentsOf: directory.appendingPathComponent(name)))
        }

        func certificate(_ name: String, names: [String], key: [String], days: String = "30") throws -> CertificateSource {
            try run(["req", "-new"] + key + ["-keyout", "\(name).key", "-out", "\(name).csr", "-subj", "/CN=\(names[0])"])
            let extensions = "subjectAltName=" + names.map { "DNS:\($0)" }.joined(separator: ",")
            try Data(extensions.utf8).write(to: directory.appendingPathComponent("\(name).ext"))
            try run([
                "x509", "-req", "-in", "\(name).csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", days,
                "-extfile", "\(name).ext", "-out", "\(name).pem",
            ])
            return CertificateSource(
                certificate: try read("\(name).pem"), key: try read("\(name).key"),
                certificateName: "\(name).pem", keyName: "\(name).key")
        }
    }
}
