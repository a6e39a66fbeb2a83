// swift-tools-version: 6.2
import PackageDescription

// A package of its own: a program whose `main` is libFuzzer's would break a plain `swift build` of the gateway.
// Built and run by `scripts/fuzz TARGET`.

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
    // libFuzzer brings `main`; without this the compiler writes another one.
    .unsafeFlags(["-parse-as-library"]),
]

let codecs: [Target.Dependency] = [
    .product(name: "SluiceCodecs", package: "sluice"),
    "Support",
]

let rules: [Target.Dependency] = codecs + [.product(name: "SluiceRules", package: "sluice"), "RuleSupport"]

func ruleFuzzer(_ name: String) -> Target {
    .executableTarget(name: name, dependencies: rules, swiftSettings: settings)
}

/// - Parameter products: libraries of the gateway that it needs besides the codecs.
func fuzzer(_ name: String, _ products: String...) -> Target {
    .executableTarget(name: name, dependencies: codecs + products.map { .product(name: $0, package: "sluice") }, swiftSettings: settings)
}

func protocolFuzzer(_ name: String) -> Target { fuzzer(name, "SluiceProtocols") }

let package = Package(
    name: "SluiceFuzz",
    dependencies: [.package(name: "sluice", path: "..")],
    targets: [
        .target(name: "Support", dependencies: [.product(name: "SluiceCodecs", package: "sluice")], swiftSettings: settings),
        fuzzer("FuzzRequestHead"),
        fuzzer("FuzzResponseHead"),
        fuzzer("FuzzChunkedBody"),
        fuzzer("FuzzRoundTrip"),
        fuzzer("FuzzPath"),
        fuzzer("FuzzProxyHeader"),
        .target(name: "RuleSupport", dependencies: [.product(name: "SluiceRules", package: "sluice")], swiftSettings: settings),
        ruleFuzzer("FuzzExpression"),
        ruleFuzzer("FuzzRuleFile"),
        ruleFuzzer("FuzzTemplate"),
        ruleFuzzer("FuzzCookies"),
        fuzzer("FuzzWebSocket"),
        protocolFuzzer("FuzzHTTP2"),
        protocolFuzzer("FuzzClientHello"),
        protocolFuzzer("FuzzTLSRecords"),
        protocolFuzzer("FuzzRESP"),
        .executableTarget(
            name: "FuzzForwarded", dependencies: rules + [.product(name: "SluiceGateway", package: "sluice")], swiftSettings: settings),
        fuzzer("FuzzShmRing", "SluiceHooks", "SluiceProcesses"),
        fuzzer("FuzzHookValues", "SluiceHooks"),
        fuzzer("FuzzSourceMap", "SluiceHooks"),
        fuzzer("FuzzCodings", "SluiceBodies"),
        fuzzer("FuzzReplacements", "SluiceBodies"),
        fuzzer("FuzzPattern", "SluiceBodies"),
        fuzzer("FuzzLocalRequest", "SluiceGateway", "SluiceProcesses"),
        fuzzer("FuzzPackets", "SluiceProcesses"),
        fuzzer("FuzzRing", "SluiceProcesses"),
        fuzzer("FuzzLogLine", "SluiceProcesses"),
        fuzzer("FuzzDescriptions", "SluiceRehearsal"),
    ]
)
