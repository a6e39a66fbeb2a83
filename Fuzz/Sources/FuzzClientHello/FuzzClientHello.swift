import Support
@testable import TLS

/// What a client sends first on a TLS port, looked at before OpenSSL has it.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = input(start, count)
    let whole = HandshakePreview.fingerprint(bytes[...])
    if let whole { require(whole.isEmpty || whole.utf8.count == 36, "a fingerprint that is none: \(whole)") }
    for end in cuts(bytes.count, step: 1 + bytes.count / 16) {
        guard let early = HandshakePreview.fingerprint(bytes[..<end]) else { continue }
        require(early == whole, "more bytes change the fingerprint")
    }
    // As OpenSSL hands it over: without records.
    if let hello = ClientHello(bytes) { require(hello.ja4.utf8.count == 36, "a fingerprint that is none") }
    return 0
}
