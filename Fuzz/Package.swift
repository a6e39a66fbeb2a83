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

func fuzzer(_ name: String) -> Target {
    .executableTarget(name: name, dependencies: codecs, swiftSettings: settings)
}

let rules: [Target.Dependency] = codecs + [.product(name: "SluiceRules", package: "sluice"), "RuleSupport"]

func ruleFuzzer(_ name: String) -> Target {
    .executableTarget(name: name, dependencies: rules, swiftSettings: settings)
}

func protocolFuzzer(_ name: String) -> Target {
    .executableTarget(name: name, dependencies: codecs + [.product(name: "SluiceProtocols", package: "sluice")], swiftSettings: settings)
}

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
        protocolFuzzer("FuzzRESP"),
        .executableTarget(
            name: "FuzzForwarded", dependencies: rules + [.product(name: "SluiceGateway", package: "sluice")], swiftSettings: settings),
        .executableTarget(
            name: "FuzzShmRing", dependencies: codecs + [.product(name: "SluiceHooks", package: "sluice")], swiftSettings: settings),
    ]
)
