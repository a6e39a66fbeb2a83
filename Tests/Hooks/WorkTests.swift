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

    private func works(_ tenant: String, _ count: Int) throws -> [HookWork] {
        let runtime = HookRuntime(host: host)
        var source = HookSource(name: tenant, main: "a.js", modules: ["a.js": "export default { onRequest() {} };"])
        source.tenant = tenant
        let function = runtime.register(source)
        return try (0..<count).map { id in
            HookWork(try #require(LongWork.rsaKey(bits: 1024, exponent: 65537)), Int32(id), for: FakeCall(), function)
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
        for work in try works("a", WorkLine.perFunction) { add(work, to: &line, true) }
        add(try works("a", 1)[0], to: &line, false)
        for tenant in 1..<16 { for work in try works("t\(tenant)", WorkLine.perFunction) { add(work, to: &line, true) } }
        #expect(line.waiting == WorkLine.most)
        add(try works("last", 1)[0], to: &line, false)
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
