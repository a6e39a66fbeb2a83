import Testing

@testable import Hooks

/// What Web Platform Tests found missing in Web Crypto: the curves of 448 bits, compressed points, hashes for digest() only.
@Suite struct CryptoTests {
    static let tools = """
        const hex = (b) => Array.from(new Uint8Array(b), (x) => x.toString(16).padStart(2, '0')).join('');
        const unhex = (t) => Uint8Array.from(t.match(/../g), (x) => parseInt(x, 16));
        const url = (b) => btoa(String.fromCharCode(...b)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
        const s = crypto.subtle;
        """

    /// RFC 8032 section 7.4, the first vector.
    @Test func ed448SignsAsInTheRFC() throws {
        #expect(try evaluate("""
            (async () => {
              \(CryptoTests.tools)
              const d = unhex('6c82a562cb808d10d632be89c8513ebf6c929f34ddfa8c9f63c9960ef6e348a3528c8a3fcc2f044e39a3fc5b94492f8f032e7549a20098f95b');
              const x = unhex('5fd7449b59b461fd2ce787ec616ad46a1da1342485a70e1f8a0ea75d80e96778edf124769b46c7061bd6783df1e50f6cd1fa1abeafe8256180');
              const key = await s.importKey('jwk', { kty: 'OKP', crv: 'Ed448', d: url(d), x: url(x) }, 'Ed448', true, ['sign']);
              const mark = await s.sign('Ed448', key, new Uint8Array(0)), open = await s.importKey('raw', x, 'Ed448', true, ['verify']);
              return [hex(mark).slice(0, 32), mark.byteLength, await s.verify('Ed448', open, mark, new Uint8Array(0)), await s.verify('Ed448', open, mark, d)].join();
            })()
            """) == "533a37f6bbe457251f023c0d88f976ae,114,true,false")
        #expect(try evaluate("crypto.subtle.generateKey('Ed448', false, ['sign']).then((p) => crypto.subtle.sign({ name: 'Ed448', context: new Uint8Array(1) }, p.privateKey, new Uint8Array(1)))")
            == "OperationError: Ed448: a context is not supported")
    }

    @Test func x448AgreesAndTravels() throws {
        #expect(try evaluate("""
            (async () => {
              \(CryptoTests.tools)
              const a = await s.generateKey('X448', true, ['deriveBits']), b = await s.generateKey('X448', true, ['deriveBits']);
              const again = await s.importKey('pkcs8', await s.exportKey('pkcs8', a.privateKey), 'X448', false, ['deriveBits']);
              const open = await s.importKey('jwk', await s.exportKey('jwk', b.publicKey), 'X448', true, []);
              const one = await s.deriveBits({ name: 'X448', public: open }, again, 448), two = await s.deriveBits({ name: 'X448', public: a.publicKey }, b.privateKey, 448);
              return [hex(one) === hex(two), one.byteLength].join();
            })()
            """) == "true,56")
    }

    @Test func aCompressedPointGoesOutUncompressed() throws {
        #expect(try evaluate("""
            (async () => {
              \(CryptoTests.tools)
              const a = { name: 'ECDSA', namedCurve: 'P-256' }, pair = await s.generateKey(a, true, ['sign', 'verify']);
              const point = new Uint8Array(await s.exportKey('raw', pair.publicKey));
              const short = unhex('3039301306072a8648ce3d020106082a8648ce3d030107032200' + (point[64] % 2 ? '03' : '02') + hex(point.subarray(1, 33)));
              const read = await s.importKey('spki', short, a, true, ['verify']);
              return [hex(await s.exportKey('spki', read)) === hex(await s.exportKey('spki', pair.publicKey)), hex(await s.exportKey('raw', read)) === hex(point)].join();
            })()
            """) == "true,true")
    }

    @Test func md5IsForDigestsOnly() throws {
        try check([
            ("crypto.subtle.digest('MD5', new Uint8Array(0)).then((b) => b.byteLength)", "16"),
            ("crypto.subtle.generateKey({ name: 'HMAC', hash: 'MD5' }, false, ['sign'])", "NotSupportedError: MD5 is for digest() only"),
            ("new TextEncoder().encodeInto('a', (() => { const b = new Uint8Array(4); structuredClone(0, { transfer: [b.buffer] }); return b; })()).written", "0"),
        ])
    }
}
