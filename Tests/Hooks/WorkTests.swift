import HTTP
import Isolates
import Testing

@testable import Hooks

/// A host whose long work waits until a test has it done.
final class SlowHost: HookHost {
    var asked: [HookWork] = []
    var dropped: [HookWork] = []
    var clock: UInt64 = 1_000_000_000
    override var now: UInt64 { clock }
    override func perform(_ work: HookWork) { asked.append(work) }
    override func drop(_ work: HookWork) {
        dropped.append(work)
        work.task.stop()
    }

    func doNext() {
        let work = asked.removeFirst()
        work.finished(work.task.run(cpuNanoseconds: work.allowance))
    }
}

/// One function on a host whose work waits.
private final class WorkBench {
    let host = SlowHost()
    let runtime: HookRuntime
    let function: HookFunction
    let binding: HookBinding

    init(_ body: String, limits change: (inout HookLimits) -> Void = { _ in }) throws {
        runtime = HookRuntime(host: host)
        var source = HookSource(name: "under test", main: "a.js", modules: ["a.js": """
            \(stretch)
            export default { async onRequest() {
              let value; try { value = await (\(body)); } catch (error) { value = `${error.name}: ${error.message}`; }
              return new Response(String(value));
            } }
            """])
        source.limits.cpuMicroseconds = 5_000_000
        change(&source.limits)
        function = try runtime.load(source)
        binding = try function.bind(HookRule(name: "r", file: "f", line: 1))
    }

    func start() -> FakeCall {
        let exchange = Exchange(), call = FakeCall()
        fillExchange(exchange)
        if case .finished(let outcome) = runtime.start(call, function, binding, .request, exchange) { call.outcomes.append(outcome) }
        return call
    }
}

private let stretch = """
    const stretch = async (iterations, hash = 'SHA-256', bits = 256) => {
      const text = new TextEncoder(), key = await crypto.subtle.importKey('raw', text.encode('password'), 'PBKDF2', false, ['deriveBits']);
      const found = await crypto.subtle.deriveBits({ name: 'PBKDF2', hash, iterations, salt: text.encode('salt') }, key, bits);
      return Array.from(new Uint8Array(found), (x) => x.toString(16).padStart(2, '0')).join('');
    };
    """
private let rsa = "crypto.subtle.generateKey({ name: 'RSA-PSS', hash: 'SHA-256', modulusLength: BITS, publicExponent: new Uint8Array([1, 0, 1]) }, true, ['sign', 'verify'])"
/// `openssl genrsa -primes 3 2048`; it is nobody's.
private let threePrimes = """
    MIIE8wIBADANBgkqhkiG9w0BAQEFAASCBN0wggTZAgEBAoIBAQDcDuh07sUnSm2axoRdWuka15MUrObMj6vn0Vh8RzlpIfpMEPf4r+9L3W+pLv0ZE/iCphnJulfMne/VFmKtnaGEhFngsY0wX/d2sF\
    lS72+gHvXTkkusauIqTnUGYA2wtawQvjqgmigmOfp5X8zWaydPysAhjBvDYVN7xtzO/xkABsrgH2cnAH7KfbaktsH8jVmLEKe7ZZh700EluH1cGYsWRaw4WfuMUCoqlG+fmhlw4j8h9qNSwmF/Lntw\
    REmto1XuEH7Ax2l07Go3/7xio7fM6zykye7gU/Un4NLXuVQiwyJV1nzegk5P2pbc+TRtU/ICU66Rex/wfi50aE1e4wSZAgMBAAECggEACH0Kunf7YuicEbxWnsNC+qYWJlYFER75opeQsjqNHGETJp\
    wA9LbUpDiGdiA54x3CGEgP9pgZiusMtUuHwuqxsErqrKAsshEBmrJyv6A8zhBjqyWZhaiaFlcjLUQ3XBNv9nj1nWx2gfnst97US+1mXaN+zDXFckAuaMwiFPbAPGtBYXBfmADpipFthBkqTe5MAXzt\
    +jz31OHbuP6RY+8qwUltd+UXeLQvOxa5ImasmKxlOSoz0xKjlvjnIacyoDJUnNteEkCiuuoVLEb8CwWtqA98dsUIIx85be6fa35dhdRmv91UCLrH9YiDmeB+zSfyCS0mgGmnh6PTp8JD66COAQJWB/\
    VMNP2fYVwzpXEZj8E6BB6QZTHUpu9royiYl6Iq/0k1Po0mAt8SNMiebSh0FxQdAItjxWl72DNI7eA335wNbBHoSo37mI2SHLsaNFK0cQHMamWotoMCVgd86zfb/A8l+Zke77RwZn0EDaOHXz5uGnQi\
    PTDwSwK5+2eg1FK41nPyYfQBRRc+HjhmQ1J+06e+sYsuAac5pfvL4XBLPkzEcP60QtQhHJind9+h21VvAlYFNz8YJ/XysKRk1UikkEb+9i07NbqjIp4QVIYWM8IsiQWtloMINL3Q/H/hGTdk/Ni5R6\
    I/e5AgthQhW+gi1TtyzhXJ716rsHXIANT+4AnFWyFnxnMaEwJWBODcugrHH/Nktt6R2qO0EdS3Mgf7BEhlUa4Q4bZbmE4kvXHpgm9LwER0jqzZH3hn5eSyDaf1Kv8w2nVBvHnxaqd8m1VaJFeDKl20\
    gFGGOOo6Tec8Z18CVgSWoKZQYz1FdHqTtm07z2vzY+R4HOVAoGM8r/D9ybp7QY/aWiVjjSVOOAv8YIpQcB236f2d4PZtbRoD7i8rLF1LhUVjwr67VYjyDEsnPymOJL12kiRXMIIBDDCCAQgCVgOxXV\
    Ji6HF5iGUGhtni9jqquWb77z5jhlpoja53k35UtJPK5NntXm/ln6F06zWf2UqbpfUUMcej3Oa07vfDFIITqv+qt13IujdL8MBivBFEFSW1VZH9AlYDUuVYfkYRvP4TUGiYPTy7WWc/Vovkb9hCD9FW\
    s7JCByPx0rFhpdFWjiu8O2xp+9Ks4KPjj6Wut8LgtQJSZ3hSDDnhnVsmQsG5e9TalQQJ1mniYvD+UQJWAMqSxdVwCo2vcqyJobHoAjGpg8XYJ3Wk3uW85Y1F/ViUBpNAKReQgnO6VqeNmNpqX0S08a\
    FxK+xqZIdXXGtv4dAljVATMfGKtTbpbYVVY9Vr8L55qAg=
    """
private func makeKey(_ bits: Int) -> String { rsa.replacing("BITS", with: "\(bits)") }

/// Keys and passwords that take long: beside the requests, bounded, and stopped with their call.
@Suite struct WorkTests {
    /// RFC 6070 (SHA-1), and what `openssl kdf` says, whose loop is not ours: short and long, of one block and of several.
    @Test(arguments: [
        ("2, 'SHA-1', 160", "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
        ("4096, 'SHA-1', 160", "4b007901b765489abead49d926f721d065a429c1"),
        ("4096, 'SHA-256', 256", "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a"),
        ("100000, 'SHA-256', 320", "0394a2ede332c9a13eb82e9b24631604c31df978b4e2f0fbd2c549944f9d79a536ceea9b92c6170c"),
        ("1000, 'SHA-512', 512", "afe6c5530785b6cc6b1c6453384731bd5ee432ee549fd42fb6695779ad8a1c5bf59de69c48f774efc4007d5298f9033c0241d5ab69305e7b64eceeb8d834cfec"),
        ("5000, 'SHA-384', 480", "7e23c04fa3d369ec4d0a632b18849ac9cabe2892867e9f61ee39412d1eb27f5a4f8493cd737428132690c158cba61e4318f7e983d0837642d3d55b56"),
    ])
    func pbkdf2IsThatOfTheStandard(_ arguments: String, _ expected: String) throws {
        let bench = try Bench("\(stretch)\nexport default { async onRequest() { return new Response(await stretch(\(arguments))); } }")
        #expect(line(bench.run()) == "respond \(expected)")
    }

    @Test func aLongDerivationWaitsForItsHost() throws {
        let bench = try WorkBench("stretch(100000)")
        let call = bench.start()
        #expect(call.outcomes.isEmpty)
        #expect(bench.host.asked.count == 1)
        bench.host.doNext()
        #expect(line(call.outcomes.first) == "respond 0394a2ede332c9a13eb82e9b24631604c31df978b4e2f0fbd2c549944f9d79a5")
        #expect(bench.function.works.isEmpty)
    }

    @Test func aShortOneIsDoneAtOnce() throws {
        let bench = try WorkBench("stretch(1000)")
        #expect(bench.start().outcomes.count == 1)
        #expect(bench.host.asked.isEmpty)
    }

    @Test func anRSAKeyIsMadeElsewhereAndWorks() throws {
        let bench = try WorkBench("""
            \(makeKey(2048)).then(async ({ privateKey, publicKey }) => {
              const data = new Uint8Array([1, 2, 3]), how = { name: 'RSA-PSS', saltLength: 32 };
              const mark = await crypto.subtle.sign(how, privateKey, data);
              return [privateKey.algorithm.modulusLength, publicKey.type, await crypto.subtle.verify(how, publicKey, mark, data)].join();
            })
            """)
        let call = bench.start()
        #expect(call.outcomes.isEmpty)
        bench.host.doNext()
        #expect(line(call.outcomes.first) == "respond 2048,public,true")
    }

    /// Billions of iterations and the largest key end at the limit, whatever they would take.
    @Test(arguments: ["stretch(4294967295)", makeKey(8192)])
    func whatExceedsTheLimitEnds(_ body: String) throws {
        let bench = try WorkBench(body) { $0.cryptoMilliseconds = 20 }
        let call = bench.start()
        bench.host.doNext()
        #expect(line(call.outcomes.first).hasSuffix("the limit of 20 ms of processor time for one call (limits.crypto) was reached"))
    }

    /// What takes longer than a millisecond is not for the thread that requests are served on; common keys are quicker there.
    @Test("A key of 3,072 bits is used elsewhere, and the bytes are those of the standard", arguments: [
        ("RSASSA-PKCS1-v1_5", "'sign', 'verify'", "const m = await s.sign(how, key.privateKey, data); return await s.verify(how, key.publicKey, m, data) && !await s.verify(how, key.publicKey, m, new Uint8Array(4));"),
        ("RSA-PSS", "'sign', 'verify'", "const m = await s.sign(how, key.privateKey, data); return await s.verify(how, key.publicKey, m, data) && !await s.verify(how, key.publicKey, new Uint8Array(9999), data);"),
        ("RSA-OAEP", "'encrypt', 'decrypt'", "const m = await s.encrypt(how, key.publicKey, data); return new Uint8Array(await s.decrypt(how, key.privateKey, m)).join() === data.join();"),
    ])
    func aLargeKeyIsUsedElsewhere(_ name: String, _ usages: String, _ steps: String) throws {
        let bench = try WorkBench("""
            (async () => {
              const s = crypto.subtle, how = { name: '\(name)', hash: 'SHA-256', saltLength: 32, label: new Uint8Array([7]) }, data = new Uint8Array([1, 2, 3]);
              const key = await s.generateKey({ ...how, modulusLength: 3072, publicExponent: new Uint8Array([1, 0, 1]) }, true, [\(usages)]);
              \(steps)
            })()
            """)
        let call = bench.start()
        bench.host.doNext()
        #expect(call.outcomes.isEmpty && bench.host.asked.count == 1, "the private operation waits for its host")
        bench.host.doNext()
        #expect(line(call.outcomes.first) == "respond true" && bench.host.asked.isEmpty, "the public one does not")
    }

    @Test func whatOpenSSLRefusesIsRefusedThereToo() throws {
        let bench = try WorkBench("""
            \(makeKey(3072)).then(({ privateKey }) => crypto.subtle.sign({ name: 'RSA-PSS', saltLength: 5000 }, privateKey, new Uint8Array(1)))
            """)
        let call = bench.start()
        bench.host.doNext()
        bench.host.doNext()
        #expect(line(call.outcomes.first) == "respond OperationError: sign: it failed")
    }

    /// With numbers that somebody made up OpenSSL works for as long as they are long: with the public exponent of a private key, whose
    /// length it checks nowhere, and with the third prime of one that has more than two.
    @Test(arguments: ["key({ ...jwk, e: 'AQ' + 'A'.repeat(4000) + 'B' })", "key({ ...jwk, e: jwk.n + 'A' })", "three"])
    func aKeyThatWouldTakeForEverIsNone(_ what: String) throws {
        let bench = try WorkBench("""
            \(makeKey(2048)).then(async ({ privateKey }) => {
              const s = crypto.subtle, how = { name: 'RSA-PSS', hash: 'SHA-256' }, jwk = await s.exportKey('jwk', privateKey);
              const key = (one) => s.importKey('jwk', one, how, false, ['sign']);
              const three = s.importKey('pkcs8', Uint8Array.from(atob('\(threePrimes)'), (x) => x.charCodeAt(0)), how, false, ['sign']);
              three.catch(() => {});
              await key(jwk);
              return await (\(what)).then(() => 'taken', (error) => error.name);
            })
            """)
        let call = bench.start()
        bench.host.doNext()
        #expect(line(call.outcomes.first) == "respond DataError")
    }

    @Test func theLimitIsOfTheCallAsAWhole() throws {
        let bench = try WorkBench("Promise.allSettled([stretch(4294967295), stretch(5000)]).then((all) => all.map((one) => one.status))") { $0.cryptoMilliseconds = 20 }
        let call = bench.start()
        bench.host.doNext()
        #expect(bench.host.asked.first?.allowance == 0)
        bench.host.doNext()
        #expect(line(call.outcomes.first) == "respond rejected,rejected")
    }

    @Test func theEndOfItsCallStopsIt() throws {
        let bench = try WorkBench("stretch(4294967295)")
        let call = bench.start()
        let work = try #require(bench.host.asked.first)
        call.cancel()
        #expect(bench.host.dropped.count == 1)
        #expect(bench.function.works.isEmpty)
        #expect(work.task.run(cpuNanoseconds: .max) == .stopped)
        work.finished(.stopped)
        #expect(call.outcomes.isEmpty)
    }

    @Test func anAnswerForACallThatIsOverReachesNobody() throws {
        let bench = try WorkBench("stretch(100000)")
        let first = bench.start(), work = try #require(bench.host.asked.first)
        first.cancel()
        let second = bench.start()
        work.finished(.done([1]))
        #expect(first.outcomes.isEmpty && second.outcomes.isEmpty)
    }

    @Test func theWallLimitEndsIt() throws {
        let bench = try WorkBench("stretch(4294967295)") { $0.wallMilliseconds = 50 }
        let call = bench.start()
        bench.host.clock += 60_000_000
        bench.runtime.fireTimers(bench.host.clock)
        #expect(line(call.outcomes.first).hasPrefix("failed wall"))
        #expect(bench.host.dropped.count == 1)
    }

    @Test func oneCallCannotAskForever() throws {
        let bench = try WorkBench("Promise.all(Array.from({ length: 100 }, () => stretch(100000)))")
        let call = bench.start()
        #expect(line(call.outcomes.first) == "respond RangeError: too much work of this kind waits")
        #expect(bench.host.asked.count <= WorkLine.perFunction * 4)
    }

    @Test func refusedWorkSaysSo() throws {
        let bench = try WorkBench("stretch(100000)")
        let call = bench.start()
        bench.host.asked.removeFirst().refused()
        #expect(line(call.outcomes.first) == "respond OperationError: PBKDF2: too much work of this kind waits; try again later")
    }

    @Test(arguments: [
        (makeKey(8200), "OperationError: RSA-PSS: modulusLength is 1024 to 8192"),
        ("stretch(100000, 'SHA-256', 8 * 65537)", "OperationError: PBKDF2: more than 65536 bytes"),
        ("stretch(0)", "OperationError: PBKDF2: 0 iterations"),
    ])
    func whatIsRefusedAtOnce(_ body: String, _ expected: String) throws {
        let bench = try WorkBench(body)
        #expect(line(bench.start().outcomes.first) == "respond \(expected)")
    }

    /// A host that does it at once does not go deeper with each piece.
    @Test func aThousandPiecesOneAfterTheOther() throws {
        let bench = try Bench("""
            \(stretch)
            export default { async onRequest() { let all = 0; for (let i = 0; i < 1000; i++) all += (await stretch(4001)).length; return new Response(`${all}`); } }
            """) { $0.cryptoMilliseconds = 120_000 }
        #expect(line(bench.run()) == "respond 64000")
    }

    /// Nothing waits while a module loads.
    @Test func aModuleThatLoadsHasSmallWorkOnly() throws {
        let bench = try Bench("\(stretch)\nconst found = await stretch(5000).then((t) => t.length, (e) => e.message);\nconst more = await stretch(200000).catch((e) => e.message);\nexport default { onRequest: () => new Response(`${found} ${more}`) };")
        #expect(line(bench.run()) == "respond 64 PBKDF2: more than 100000 iterations while the module loads")
    }
}

/// Who is next.
@Suite struct WorkLineTests {
    private let host = SlowHost()

    private func works(_ tenant: String, _ count: Int, weight: Int = WorkLine.longWeight) throws -> [HookWork] {
        let runtime = HookRuntime(host: host)
        var source = HookSource(name: tenant, main: "a.js", modules: ["a.js": "export default { onRequest() {} };"])
        source.tenant = tenant
        let function = runtime.register(source)
        return try (0..<count).map { id in
            HookWork(try #require(LongWork.rsaKey(bits: 1024, exponent: 65537)), weight, Int32(id), for: FakeCall(), function)
        }
    }

    @Test func tenantsTakeTurnsAndNobodyHoldsTwoThreads() throws {
        var line = WorkLine(threads: 2)
        let a = try works("a", 3), b = try works("b", 1)
        for work in a + b { add(work, to: &line, true) }
        expect(&line, a[0])
        expect(&line, b[0])
        expect(&line, nil)
        line.ended(b[0])
        // A thread is free, and whoever waits has one already.
        expect(&line, nil)
        line.ended(a[0])
        expect(&line, a[1])
        #expect(line.atWork == 1 && line.waiting == 1)
    }

    @Test func whatWaitsIsBoundedForEachAndForAll() throws {
        var line = WorkLine(threads: 1)
        for work in try works("a", 16) { add(work, to: &line, true) }
        add(try works("a", 1)[0], to: &line, false)
        for tenant in 1..<16 { for work in try works("t\(tenant)", 16) { add(work, to: &line, true) } }
        #expect(line.waiting == 256)
        add(try works("last", 1)[0], to: &line, false)
    }

    @Test func aWorkOfMillisecondsCountsAsOne() throws {
        var line = WorkLine(threads: 1)
        for work in try works("a", 256, weight: 1) { add(work, to: &line, true) }
        add(try works("a", 1, weight: 1)[0], to: &line, false)
        #expect(line.waiting == 256)
    }

    @Test func whatIsTakenOutDoesNotRun() throws {
        var line = WorkLine(threads: 1)
        let a = try works("a", 2)
        for work in a { add(work, to: &line, true) }
        let taken = (line.remove(a[0]), line.remove(a[0]))
        #expect(taken == (true, false))
        expect(&line, a[1])
        let running = line.remove(a[1])
        #expect(!running)
    }

    private func add(_ work: HookWork, to line: inout WorkLine, _ expected: Bool, _ location: SourceLocation = #_sourceLocation) {
        let isTaken = line.add(work)
        #expect(isTaken == expected, sourceLocation: location)
    }

    private func expect(_ line: inout WorkLine, _ expected: HookWork?, _ location: SourceLocation = #_sourceLocation) {
        let found = line.next()
        #expect(found === expected, sourceLocation: location)
    }
}
