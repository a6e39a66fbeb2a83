import Testing

@testable import Hooks

/// Secrets that a function may use as keys and never sees.
@Suite struct KeyBindingTests {
    private func key(_ secret: String, _ rest: String, format: String = "raw", lenient: Bool = false) -> String {
        "{\"secret\":\(HookRule.quoted(secret)),\"format\":\"\(format)\",\(rest),\"lenient\":\(lenient)}"
    }

    private func answer(_ expression: String, _ keys: [String: String]) throws -> String {
        let bench = try Bench("""
            const hex = (bytes) => Array.from(new Uint8Array(bytes), (x) => x.toString(16).padStart(2, '0')).join('');
            export default { async onRequest(request, env) {
              try { return new Response(String(await (\(expression)))); } catch (error) { return new Response(`${error.name}: ${error.message}`); }
            } };
            """, source: { $0.keys = keys })
        guard case .respond(let body)? = bench.run() else { return "no answer" }
        return text(body)
    }

    private static let hmac = #""name":"HMAC","hash":"SHA-256","usages":["sign"]"#

    @Test func aSecretIsAKeyThatGivesItselfAwayToNobody() throws {
        let keys = ["JWT": key("key", Self.hmac)]
        let fox = "new TextEncoder().encode('The quick brown fox jumps over the lazy dog')"
        #expect(try answer("crypto.subtle.sign('HMAC', env.JWT, \(fox)).then(hex)", keys) == "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8")
        #expect(try answer("[env.JWT instanceof CryptoKey, env.JWT.extractable, env.JWT.usages, env.JWT.algorithm.hash.name, Object.keys(env).includes('JWT'), JSON.stringify(env.JWT)]", keys)
            == "true,false,sign,SHA-256,true,{}")
        #expect(try answer("crypto.subtle.exportKey('raw', env.JWT)", keys) == "InvalidAccessError: the key is not extractable")
        #expect(try answer("crypto.subtle.verify('HMAC', env.JWT, \(fox), \(fox))", keys) == "InvalidAccessError: the key is not allowed to verify")
        #expect(try answer("(env.JWT = 1)", keys).hasPrefix("TypeError"))
    }

    @Test func theFormsOfASecret() throws {
        let fox = "new TextEncoder().encode('The quick brown fox jumps over the lazy dog')"
        for (secret, format) in [("a2V5", "base64"), (#"{"kty":"oct","k":"a2V5"}"#, "jwk")] {
            #expect(try answer("crypto.subtle.sign('HMAC', env.K, \(fox)).then((b) => hex(b).slice(0, 8))", ["K": key(secret, Self.hmac, format: format)]) == "f7bc83f4")
        }
        // RFC 8410 section 10.3 and 10.1: one pair.
        let keys = [
            "OWN": key("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n", #""name":"Ed25519","usages":["sign"]"#, format: "pem"),
            "OPEN": key("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n", #""name":"Ed25519","usages":["verify"]"#, format: "pem"),
        ]
        #expect(try answer("crypto.subtle.sign('Ed25519', env.OWN, \(fox)).then((mark) => crypto.subtle.verify('Ed25519', env.OPEN, mark, \(fox)))", keys) == "true")
        #expect(try answer("crypto.subtle.exportKey('pkcs8', env.OWN)", keys) == "InvalidAccessError: the key is not extractable")
    }

    @Test(arguments: [
        ("abc", #""name":"AES-GCM","usages":["encrypt"]"#, "raw", "the key K cannot be made of its secret: AES-GCM: a key has 128, 192 or 256 bits"),
        ("k", #""name":"HMAC","usages":["sign"]"#, "raw", "the key K cannot be made of its secret: HMAC: hash is missing"),
        ("no pem", #""name":"Ed25519","usages":["sign"]"#, "pem", "the key K cannot be made of its secret: it is no PEM text of a PUBLIC KEY or PRIVATE KEY (PKCS #8)"),
        ("{", Self.hmac, "jwk", "the key K cannot be made of its secret: it is not a JSON Web Key"),
        ("k", #""name":"HMAC","hash":"SHA-256","usages":["encrypt"]"#, "raw", "the key K cannot be made of its secret: a HMAC key cannot be used for encrypt"),
    ])
    func aSecretThatIsNoSuchKeyIsSaidAtLoad(_ secret: String, _ rest: String, _ format: String, _ message: String) throws {
        let failure = #expect(throws: HookLoadError.self) { try answer("1", ["K": key(secret, rest, format: format)]) }
        #expect(failure?.message == "TypeError: \(message)")
        // In a rehearsal, when it is used.
        let lenient = ["K": key(secret, rest, format: format, lenient: true)]
        #expect(try answer("1", lenient) == "1")
        #expect(try answer("env.K", lenient) == "TypeError: \(message)")
    }
}
