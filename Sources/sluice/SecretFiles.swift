import Reactor
import Rules

/// The values of secrets, read where the supervisor runs and handed to workers with the other bytes of a configuration.
enum SecretFiles {
    /// Puts the bytes of each secret into `files`; tells what is wrong with one, never what it says.
    static func read(_ configuration: Configuration, into files: inout [String: [UInt8]], _ complain: (Secret, String) -> Void) {
        for secret in configuration.secrets {
            do throws(SecretProblem) {
                let bytes = try bytes(secret)
                files[secret.bundlePath] = try text(bytes)
                // What is watched for changes.
                if case .file(let file) = secret.source, files[file.path] == nil { files[file.path] = bytes }
            } catch {
                complain(secret, "secret \"\(secret.name)\": \(error.words)")
            }
        }
    }

    private static func bytes(_ secret: Secret) throws(SecretProblem) -> [UInt8] {
        switch secret.source {
        case .file(let file): return try read(file.path)
        case .byName:
            if let folder = ProcessSetup.environment("CREDENTIALS_DIRECTORY"), DiskFiles().exists("\(folder)/\(secret.name)") {
                return try read("\(folder)/\(secret.name)")
            }
            guard let value = ProcessSetup.environment(secret.name) else {
                throw SecretProblem(words: "there is no systemd credential and no variable of the environment of this name; `secrets:` can say where it is")
            }
            return Array(value.utf8)
        case .environment(let name):
            guard let value = ProcessSetup.environment(name) else {
                throw SecretProblem(words: "the environment has no variable \(name)")
            }
            return Array(value.utf8)
        case .credential(let name):
            guard let folder = ProcessSetup.environment("CREDENTIALS_DIRECTORY") else {
                throw SecretProblem(words: "there are no systemd credentials (LoadCredential=\(name):PATH in the unit makes one)")
            }
            guard !name.contains("/"), name != ".." else { throw SecretProblem(words: "\(name) is not the name of a credential") }
            return try read("\(folder)/\(name)")
        }
    }

    private static func read(_ path: String) throws(SecretProblem) -> [UInt8] {
        do throws(FileFailure) {
            return try DiskFiles().read(path, limit: Secret.largest)
        } catch {
            switch error {
            case .missing: throw SecretProblem(words: "there is no file \(path)")
            case .unreadable(let why): throw SecretProblem(words: "\(path) cannot be read: \(why)")
            }
        }
    }

    /// Without the line break that editors leave at the end.
    private static func text(_ bytes: [UInt8]) throws(SecretProblem) -> [UInt8] {
        var bytes = bytes
        if bytes.last == 10 { bytes.removeLast() }
        if bytes.last == 13 { bytes.removeLast() }
        guard !bytes.isEmpty else { throw SecretProblem(words: "it is empty") }
        guard bytes.count <= Secret.largest else { throw SecretProblem(words: "it is larger than 64 KiB") }
        guard String(validating: bytes, as: UTF8.self) != nil else { throw SecretProblem(words: "it is not UTF-8 text") }
        return bytes
    }
}

private struct SecretProblem: Error { let words: String }
