import TLS
import Testing

/// The message for a certificate and key that cannot be used.
private func refusal(_ source: CertificateSource) -> TLSConfigurationError? {
    do throws(TLSConfigurationError) {
        _ = try ServerContext([source])
        return nil
    } catch {
        return error
    }
}

@Suite struct ConfigurationTests {
    let certificates: TestCertificates

    init() throws { certificates = try TestCertificates.shared.get() }

    private func source(certificate: [UInt8]? = nil, key: [UInt8]? = nil) -> CertificateSource {
        CertificateSource(
            certificate: certificate ?? certificates.ecdsa.certificate, key: key ?? certificates.ecdsa.key,
            certificateName: "site.pem", keyName: "site.key")
    }

    @Test func aKeyOfAnotherCertificateIsNamedWithBothFiles() throws {
        let error = try #require(refusal(source(key: certificates.otherKey)))
        #expect(error.file == "site.key")
        #expect(error.problem == "this key does not belong to the certificate in site.pem")
        #expect(error.description.contains("openssl pkey -pubout"))
    }

    @Test func filesOfTheWrongKindAreTold() throws {
        #expect(refusal(source(certificate: []))?.problem == "is empty")
        #expect(refusal(source(certificate: Array("hello".utf8)))?.problem.contains("is not PEM") == true)
        #expect(refusal(source(certificate: certificates.der))?.remedy.contains("openssl x509 -inform der") == true)
        #expect(refusal(source(certificate: certificates.ecdsa.key))?.problem.contains("but a private key") == true)
        #expect(refusal(source(key: certificates.ecdsa.certificate))?.problem.contains("no private key") == true)
        #expect(refusal(source(key: certificates.encryptedKey))?.problem.contains("pass phrase") == true)
    }

    @Test func aDamagedCertificateIsRefused() {
        var bytes = certificates.ecdsa.certificate
        for index in 100..<140 { bytes[index] = UInt8(ascii: "A") }
        #expect(refusal(source(certificate: bytes))?.problem.contains("damaged") == true)
    }

    @Test func anExpiredCertificateLoadsWithAWarning() throws {
        let context = try ServerContext([certificates.expired])
        #expect(context.warnings.count == 1)
        #expect(context.warnings.first?.description.contains("expired") == true)
        #expect(try ServerContext([certificates.ecdsa]).warnings.isEmpty)
    }

    @Test func aListenerNeedsACertificate() {
        #expect(throws: TLSConfigurationError.self) { try ServerContext([]) }
    }

    @Test func aTrustFileWithoutCertificatesIsRefused() {
        var options = ClientOptions()
        options.trustedCertificates = Array("nothing".utf8)
        options.trustedName = "ca.pem"
        #expect(throws: TLSConfigurationError.self) { try ClientContext(options) }
    }
}
