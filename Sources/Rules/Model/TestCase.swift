public import HTTP

/// A test of a rule file: requests and what is expected of their answers.
public struct TestCase: Sendable {
    public var name: String
    /// Functions start anew for it.
    public var isFresh = false
    /// Seconds since 1970 at which the test's clock begins; nil: it does not matter.
    public var time: Int?
    /// What namespaces hold when the test begins.
    public var entries: [TestEntry] = []
    /// At least one.
    public var steps: [TestStep]
    public var position: SourcePosition
}

/// An entry of a namespace, before a test or expected after it.
public struct TestEntry: Sendable {
    public var namespace: String
    public var key: String
    /// Text, or JSON for anything else than text; nil: there is none.
    public var value: String?
    public var isJSON: Bool
}

/// One request of a test.
public struct TestStep: Sendable {
    public var request: TestRequest
    /// Function whose schedule runs in the place of the request.
    public var scheduled: String?
    /// Milliseconds that pass before.
    public var wait = 0
    public var count = 1
    public var answers: [TestAnswer] = []
    public var expectations: [Expectation] = []
    public var position: SourcePosition
}

public struct TestRequest: Sendable {
    public var method = "GET"
    public var scheme = Scheme.https
    public var authority = ""
    public var target = "/"
    public var fields: [(name: String, value: String)] = []
    public var body: [UInt8] = []
    public var version = HTTPVersion.http11
    public var client = ClientInfo()
}

/// What an origin of a test answers.
public struct TestAnswer: Sendable {
    public enum Failure: String, Sendable, CaseIterable {
        case dns, connect
        case connectTimeout = "connect_timeout"
        case tls, timeout, reset, cut
        case `protocol`
    }
    /// nil: of every upstream without answers of its own.
    public var upstream: String?
    public var method: String?
    /// `*` is a wildcard.
    public var path: String?
    public var status = 200
    public var fields: [(name: String, value: String)] = []
    public var body: [UInt8] = []
    /// Milliseconds.
    public var delay = 0
    public var bodyDelay = 0
    public var failure: Failure?

    public init() {}
}

/// One thing that a test expects.
public struct Expectation: Sendable {
    /// The message that is looked at.
    public enum Side: Sendable { case answer, originRequest }
    public enum Text: Sendable {
        case equals(String), contains(String), lacks(String), matches(String)
    }
    public enum Header: Sendable {
        case equals(String), matches(String), present, absent
    }
    public enum Check: Sendable {
        case status(Int)
        case closed(Bool)
        case header(Side, String, Header)
        case body(Side, Text)
        /// JSON text. `partial`: objects may have further members.
        case json(Side, String, partial: Bool)
        case method(String), uri(String), path(String), query(String)
        case rules([String]), onlyRules([String]), notRule(String)
        case site(String), upstream(String)
        case originCalled(Bool)
        case calls(upstream: String, Int)
        case hook(String, outcome: String)
        case error(String)
        case log(String)
        case entry(TestEntry)
    }
    public var check: Check
    /// As in the file: `headers.x-served-by`.
    public var key: String
    public var position: SourcePosition
}
