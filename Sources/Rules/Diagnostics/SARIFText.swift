/// SARIF 2.1.0 (OASIS), which code hosts and CI systems show beside the changed lines.
extension [Diagnostic] {
    /// - Parameter version: of the program that found them.
    public func sarif(version: String) -> String {
        var codes: [DiagnosticCode] = []
        for each in self where !codes.contains(each.code) { codes.append(each.code) }
        codes.sort { $0.rawValue < $1.rawValue }
        var out = JSONText()
        out.open("{")
        out.field("$schema", "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json")
        out.field("version", "2.1.0")
        out.list("runs") { out in
            out.open("{")
            out.object("tool") { out in
                out.object("driver") { out in
                    out.field("name", "sluice")
                    out.field("version", version)
                    out.list("rules") { out in
                        for code in codes { code.writeSARIF(to: &out) }
                    }
                }
            }
            // Columns are counted as the rest of Sluice counts them.
            out.field("columnKind", "unicodeCodePoints")
            out.list("results") { out in
                for each in self { each.writeSARIF(to: &out, rule: codes.firstIndex(of: each.code) ?? 0) }
            }
            out.close("}")
        }
        out.close("}")
        return out.text
    }
}

extension DiagnosticCode {
    fileprivate func writeSARIF(to out: inout JSONText) {
        out.separator()
        out.open("{")
        out.field("id", rawValue)
        out.object("shortDescription") { $0.field("text", explanation) }
        out.object("help") { $0.field("text", "sluice help \(rawValue): \(explanation)") }
        out.object("defaultConfiguration") { $0.field("level", severity.sarifLevel) }
        out.close("}")
    }
}

extension Diagnostic {
    fileprivate func writeSARIF(to out: inout JSONText, rule: Int) {
        out.separator()
        out.open("{")
        out.field("ruleId", code.rawValue)
        out.field("ruleIndex", rule)
        out.field("level", severity.sarifLevel)
        out.object("message") { out in
            out.field("text", message + (label.isEmpty ? "" : ": " + label))
        }
        if position.file >= 0 {
            out.list("locations") { out in
                out.separator()
                out.open("{")
                out.object("physicalLocation") { writePlace(to: &$0, "region") }
                if !context.isEmpty {
                    out.list("logicalLocations") { out in
                        out.separator()
                        out.open("{")
                        out.field("fullyQualifiedName", context)
                        out.close("}")
                    }
                }
                out.close("}")
            }
            if let suggestion { writeFix(suggestion, to: &out) }
        }
        out.close("}")
    }

    private func writePlace(to out: inout JSONText, _ region: String) {
        out.object("artifactLocation") { $0.field("uri", Self.uri(file)) }
        writeRegion(to: &out, region)
    }

    private func writeRegion(to out: inout JSONText, _ name: String) {
        out.object(name) { out in
            out.field("startLine", max(1, Int(position.line)))
            out.field("startColumn", max(1, Int(position.column)))
            out.field("endColumn", max(1, Int(position.column)) + max(1, Int(position.length)))
        }
    }

    /// The suggestion as an edit that a tool can make.
    private func writeFix(_ suggestion: String, to out: inout JSONText) {
        out.list("fixes") { out in
            out.separator()
            out.open("{")
            out.object("description") { $0.field("text", "write `\(suggestion)`") }
            out.list("artifactChanges") { out in
                out.separator()
                out.open("{")
                out.object("artifactLocation") { $0.field("uri", Self.uri(file)) }
                out.list("replacements") { out in
                    out.separator()
                    out.open("{")
                    writeRegion(to: &out, "deletedRegion")
                    out.object("insertedContent") { $0.field("text", suggestion) }
                    out.close("}")
                }
                out.close("}")
            }
            out.close("}")
        }
    }

    /// A relative path stays relative, so that CI finds the file in its checkout (RFC 3986 section 4.2).
    private static func uri(_ path: String) -> String {
        var out = path.hasPrefix("/") ? "file://" : ""
        for byte in path.utf8 {
            let isPlain = byte &- 48 < 10 || (byte | 0x20) &- 97 < 26 || "-._~/".utf8.contains(byte)
            out += isPlain ? String(UnicodeScalar(byte)) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }
        return out
    }
}

extension JSONText {
    mutating func object(_ name: String, _ body: (inout JSONText) -> Void) {
        key(name)
        separator()
        open("{")
        body(&self)
        close("}")
    }

    mutating func list(_ name: String, _ body: (inout JSONText) -> Void) {
        key(name)
        separator()
        open("[")
        body(&self)
        close("]")
    }
}
