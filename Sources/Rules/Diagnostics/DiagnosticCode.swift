/// Every diagnostic has a stable code. Never renumber; a code that is no longer used stays reserved.
///
/// Y: the YAML text. R: the shape of a rule file. V: a single value. E: an expression. T: a `${...}` template.
/// U: a name that refers to something. F: a file. N: not in this version. X: a test. H: a hook.
/// C: certificates. G: what only trying shows. L: lint.
public enum DiagnosticCode: String, Sendable, CaseIterable {
    case notUTF8 = "Y001"
    case syntax = "Y002"
    case duplicateKey = "Y003"
    case forbiddenCharacter = "Y004"
    case tooLarge = "Y005"
    case tooDeep = "Y006"
    case aliasLimit = "Y007"
    case tag = "Y008"
    case badAlias = "Y009"
    case missingKey = "R001"
    case unknownKey = "R002"
    case wrongKind = "R003"
    case version = "R004"
    case duplicateName = "R005"
    case actionShape = "R011"
    case unknownAction = "R012"
    case actionPhase = "R013"
    case protectedHeader = "R014"
    case duplicateHost = "R015"
    case duplicateAddress = "R016"
    case integer = "V001"
    case size = "V002"
    case time = "V003"
    case boolean = "V004"
    case choice = "V005"
    case endpoint = "V006"
    case url = "V007"
    case name = "V008"
    case status = "V009"
    case header = "V010"
    case host = "V011"
    case network = "V012"
    case text = "V013"
    case rate = "V014"
    case date = "V015"
    case expressionSyntax = "E001"
    case unknownOperator = "E002"
    case unknownField = "E003"
    case typeMismatch = "E004"
    case pattern = "E005"
    case literal = "E006"
    case phase = "E007"
    case yamlQuoting = "E008"
    case tooComplex = "E009"
    case unknownFunction = "E010"
    case fieldNotAvailable = "E011"
    case unknownVariable = "T001"
    case templateSyntax = "T002"
    case unknownCapture = "T003"
    case unknownUpstream = "U002"
    case unknownHook = "U003"
    case unknownList = "U004"
    case unknownNamespace = "U005"
    case unknownRule = "U010"
    case fileMissing = "F001"
    case fileUnreadable = "F002"
    case include = "F003"
    case secret = "F004"
    case actionNotAvailable = "N001"
    case keyNotAvailable = "N002"
    case expectation = "X001"
    case hookHandler = "H001"
    case hookLoad = "H002"
    case certificate = "C001"
    case authorities = "C002"
    case certificateDates = "C003"
    case notServable = "G001"
    case unreachable = "L001"
    case mixedOperators = "L004"
    case afterFinal = "L005"
    case unusedFunction = "L006"
    case unusedUpstream = "L007"
    case unusedList = "L008"
    case unpinned = "L009"

    public var severity: Severity {
        switch self {
        case .keyNotAvailable, .certificateDates, .unreachable, .mixedOperators, .afterFinal, .unusedFunction, .unusedUpstream, .unusedList: .warning
        case .unpinned: .hint
        default: .error
        }
    }

    /// What it means and what to do, for `sluice help CODE`.
    public var explanation: String { Self.explanations[self] ?? "" }

    private static let explanations: [DiagnosticCode: String] = [
        .notUTF8: "Rule files are UTF-8. Save the file in that encoding.",
        .syntax: "The text is not YAML. Look at the line before the marked one too: indentation, an open quote or bracket, a missing `:`.",
        .duplicateKey: "A map names a key twice. One of the two would silently win, so neither does.",
        .forbiddenCharacter: "Tabs and control characters are not allowed outside quotes. Indent with spaces.",
        .tooLarge: "The file or one value is larger than any rule file needs to be. Split the file with `include:`; move large bodies to a file and name it with `file:`.",
        .tooDeep: "Maps and lists are nested deeper than 32 levels.",
        .aliasLimit: "YAML aliases (`*name`) of this file expand to more than 10,000 values.",
        .tag: "YAML tags (`!name`) have no meaning here: the schema decides what a value is.",
        .badAlias: "An alias (`*name`) names no anchor (`&name`) that stands before it, or stands where a key belongs.",
        .missingKey: "A key that must be there is not.",
        .unknownKey: "The schema has no such key here. Keys that start with `x-` are free for your notes.",
        .wrongKind: "A map, a list or a single value stands where another of the three belongs.",
        .version: "Every rule file starts with `sluice: 1`, the version of this language.",
        .duplicateName: "Two things of one kind have the same name. Names are how logs, metrics and rules refer to them.",
        .actionShape: "`do:` is a list; each element is one action: `- name: value`, or only the name for `stop` and `drop`.",
        .unknownAction: "There is no such action. docs/RULES.md lists them.",
        .actionPhase: "The action cannot work in this phase. `route` needs a request that is still here, `set_status` a response.",
        .protectedHeader: "Content-Length, Transfer-Encoding, Connection and their kind frame the message on the wire. The gateway writes them; a rule that could would let a client smuggle requests.",
        .duplicateHost: "Two sites claim the same host.",
        .duplicateAddress: "Two listeners, or a listener and the admin interface, have the same address.",
        .integer: "A whole number is needed, in the range the message gives.",
        .size: "A size needs a unit: `512B`, `64KiB`, `1MiB`, `2GiB` (or the decimal KB, MB, GB).",
        .time: "A time needs a unit: `50ms`, `2s`, `5m`, `1h`.",
        .boolean: "Write `true` or `false`. `yes`, `no`, `on` and `off` are text here.",
        .choice: "The value is not one of those the message lists.",
        .endpoint: "An address is `host:port` with a numeric host: `0.0.0.0:443`, `[::]:443`, `127.0.0.1:9090`, or `unix:/path`.",
        .url: "A server is `http://host:port` or `https://host:port`, without path.",
        .name: "Names have letters, digits, `_`, `-` and `.`, at most 64 of them. Rule and site names may also have spaces.",
        .status: "A status code in the range the message gives.",
        .header: "A header name has letters, digits and a few signs, no spaces; a value has no line breaks and no control characters.",
        .host: "A host is `shop.example.com`, `*.example.com`, or `*` for every other host; without port and scheme.",
        .network: "A list holds IP addresses and networks (`10.0.0.0/8`, `2001:db8::/32`), or strings, not both.",
        .text: "The value is empty, too long, or has characters that are not allowed in it.",
        .rate: "A rate is a count and a period: `100/s`, `5/min`, `1000/h`, `20/10s`. At most 500,000 per period, and periods of 1 s to 1 day.",
        .date: "A day is `YYYY-MM-DD`, and one that this version of Sluice knows the behaviour of. docs/HOOK-API.md lists what changed when.",
        .expressionSyntax: "The expression cannot be read at the marked place.",
        .unknownOperator: "There is no such operator. == != < <= > >= in contains starts_with ends_with matches like, and or not, exists().",
        .unknownField: "There is no such field. docs/RULES.md lists them.",
        .typeMismatch: "The two sides of the operator have types that cannot be compared.",
        .pattern: "The regular expression is not valid. Patterns run in linear time: no look-around, no back-references.",
        .literal: "A literal is not valid: a string without its end, a number too large, an address that is none.",
        .phase: "The field has no value yet in this phase: the origin answers after the request rules have run.",
        .yamlQuoting: "YAML takes a value that begins with a quote to be only the quoted text. Write the expression as a block: `when: >` and the expression on the next line.",
        .tooComplex: "The expression is longer or deeper than any rule needs. Use a list (`in $name`) or several rules.",
        .unknownFunction: "There is no such function in expressions: exists(), lower(), len(), any(), starts_with(), ends_with(), contains().",
        .fieldNotAvailable: "The field is part of the language, but this version of Sluice has no value for it.",
        .unknownVariable: "The `${...}` in a value names nothing. Fields can be used, `match.NAME` for groups of the rule's pattern, and Azion's names.",
        .templateSyntax: "A `${` has no end. Write `$${` for the two characters themselves.",
        .unknownCapture: "`${match.NAME}` needs a group `(?<NAME>...)` in a `matches` of the same rule.",
        .unknownUpstream: "The upstream is not defined under `upstreams:` in any loaded file.",
        .unknownHook: "The function is not defined under `functions:` in any loaded file.",
        .unknownList: "The list is not defined under `lists:` in any loaded file.",
        .unknownNamespace: "The namespace is not defined under `kv:` in any loaded file.",
        .unknownRule: "A test names a rule that no site has. Rules are named `site/rule`.",
        .expectation: "A test expects something else than what happened. The test is wrong or the rules are.",
        .fileMissing: "The file does not exist. Paths are relative to the file that names them.",
        .fileUnreadable: "The file exists but cannot be read: permissions, a directory, or larger than allowed.",
        .include: "An `include:` matches no file, includes itself, or goes too deep.",
        .secret: "A secret cannot be had: its file, its variable of the environment or its systemd credential is not there, is empty, larger than 64 KiB, or no text. `sluice test` does not need it.",
        .actionNotAvailable: "The action is part of the language, but this version of Sluice does not carry it out. Loading fails because a rule that silently does nothing is worse.",
        .keyNotAvailable: "The key is part of the language and is checked, but this version of Sluice does not act on it.",
        .hookHandler: "A rule runs a function in a phase for which its module exports no handler: `onRequest` or `fetch` for request rules, `onResponse` for response rules, `onError` for error rules.",
        .hookLoad: "The function's module cannot be loaded: it does not parse, throws while it loads, or exports no handler.",
        .certificate: "A certificate, its key or its chain cannot be used.",
        .certificateDates: "A certificate has expired, is not valid yet or ends within 14 days, or the OCSP response to staple to it is too old (it is left out). What can be served is served; clients may refuse it.",
        .authorities: "The trusted authorities of an upstream cannot be used.",
        .notServable: "Trying the configuration failed in a way that has no place in a rule file.",
        .unreachable: "An earlier rule ends the phase for every request that this one could match. Move this rule up, or narrow the earlier one.",
        .mixedOperators: "`and` binds tighter than `or`. Say with parentheses what you mean.",
        .afterFinal: "`respond`, `redirect`, `deny`, `drop` and `stop` end the phase; what stands after them in the same rule never happens.",
        .unusedFunction: "The function is defined, but no rule runs it.",
        .unusedUpstream: "The upstream is defined, but no site, rule or function uses it.",
        .unpinned: "The function sees the newest behaviour of whatever version of Sluice runs it. With `compat: YYYY-MM-DD` it keeps the behaviour of that day; docs/HOOK-API.md lists what changed when.",
        .unusedList: "The list is defined, but no expression uses it.",
    ]
}
