// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target is built with the same strictness: language mode 6, strict memory safety,
/// no warnings. A target that needs less is a design question, not a setting.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableExperimentalFeature("Lifetimes"),
]

/// Rooms of structs whose functions are small and used everywhere: inlined into their users. Not for rooms with
/// classes: what other rooms may touch is checked for exclusivity at run time
/// (docs/decisions/0004-exclusivity-without-a-price.md).
let inlined: [SwiftSetting] = strict + [.unsafeFlags(["-cross-module-optimization"], .when(configuration: .release))]

func room(
    _ name: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = [], plugins: [Target.PluginUsage] = [],
    settings: [SwiftSetting] = strict
) -> Target {
    .target(
        name: name, dependencies: dependencies, exclude: ["README.md"] + exclude, swiftSettings: settings, plugins: plugins)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: "\(name)Tests", dependencies: dependencies, path: "Tests/\(name)", swiftSettings: strict)
}

let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "sluice",
    products: [
        .executable(name: "sluice", targets: ["sluice"]),
        // For the package in Fuzz/.
        .library(name: "SluiceCodecs", targets: ["HTTP1", "HTTP", "Buffers"]),
        .library(name: "SluiceRules", targets: ["Rules", "HTTP", "Buffers"]),
        .library(name: "SluiceHooks", targets: ["Hooks"]),
        .library(name: "SluiceProtocols", targets: ["HTTP2", "TLS", "Stores"]),
        .library(name: "SluiceGateway", targets: ["Gateway"]),
        .library(name: "SluiceBodies", targets: ["Codings", "Patterns"]),
        .library(name: "SluiceRehearsal", targets: ["Rehearsal"]),
        .library(name: "SluiceProcesses", targets: ["Supervisor", "Cordon", "Reactor", "Telemetry"]),
    ],
    dependencies: [
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        // The cellar: plain C surfaces over Linux and the three libraries. They hold no policy.
        .target(name: "CLinux"),
        .target(name: "CExclusivity"),
        .target(
            name: "COpenSSL",
            linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
        .target(name: "CCares", linkerSettings: [.linkedLibrary("cares")]),
        .target(name: "CLMDB", linkerSettings: [.linkedLibrary("lmdb")]),
        .target(name: "CNghttp2", linkerSettings: [.linkedLibrary("nghttp2")]),
        .target(
            name: "CCodings",
            linkerSettings: [.linkedLibrary("z"), .linkedLibrary("brotlienc"), .linkedLibrary("brotlidec"), .linkedLibrary("zstd")]),
        .target(name: "CRE2", linkerSettings: [.linkedLibrary("re2")]),
        .target(
            name: "CV8",
            cxxSettings: [
                .unsafeFlags(["-I/usr/include/nodejs/deps/v8/include", "-fno-rtti", "-fno-exceptions", "-Wall"]),
            ],
            linkerSettings: [
                .linkedLibrary("node"), .linkedLibrary("ssl"), .linkedLibrary("crypto"), .linkedLibrary("z"), .linkedLibrary("icuuc"),
            ]),

        // Floor 0
        room("Telemetry"),
        room("KeyValue"),
        room("Buffers", ["CLinux"], settings: inlined),
        // Floor 1
        room("HTTP", ["Buffers"]),
        room("Reactor", ["Buffers", "Telemetry", "CLinux", "CCares"]),
        room("Patterns", ["CRE2"]),
        room("Codings", ["Buffers", "CCodings"]),
        // Floor 2
        room("HTTP1", ["HTTP", "Buffers"], settings: inlined),
        room("HTTP2", ["HTTP", "Buffers", "CNghttp2"]),
        room("TLS", ["Reactor", "Buffers", "COpenSSL"]),
        room("Isolates", ["Buffers", "CV8"]),
        // Floor 3
        room("Rules", ["HTTP", "Patterns", "Codings", "Buffers", yams]),
        room("Upstream", ["HTTP", "HTTP1", "HTTP2", "TLS", "Reactor", "Buffers", "Telemetry"]),
        room("Stores", ["KeyValue", "TLS", "Reactor", "Buffers", "CLMDB"]),
        // Floor 4
        room("Hooks", ["Isolates", "KeyValue", "HTTP", "Buffers", "Telemetry"], exclude: ["Prelude"], plugins: ["EmbedText"]),
        .plugin(name: "EmbedText", capability: .buildTool()),
        // Floor 5
        room("Cordon", ["Hooks", "Isolates", "Reactor", "HTTP", "Buffers"]),
        // Floor 6
        room("Gateway", [
            "Cordon", "Isolates", "Hooks", "Rules", "Stores", "KeyValue", "Codings", "Upstream", "HTTP1", "HTTP2", "TLS", "HTTP", "Reactor", "Buffers", "Telemetry",
        ]),
        room("Supervisor", ["TLS", "Reactor", "Buffers", "Telemetry"], exclude: ["Dashboard"], plugins: ["EmbedText"]),
        room("Origin", ["HTTP1", "HTTP", "Reactor", "Buffers", "Telemetry"]),
        // Floor 7
        room("Rehearsal", ["Gateway", "Upstream", "Rules", "HTTP1", "HTTP", "Patterns", "Buffers"]),
        // Floor 8
        .executableTarget(
            name: "sluice",
            dependencies: ["Rehearsal", "Supervisor", "Gateway", "Cordon", "Origin", "Rules", "Hooks", "HTTP", "HTTP1", "TLS", "Reactor", "Buffers", "Telemetry", "CExclusivity", arguments],
            exclude: ["README.md"],
            swiftSettings: strict,
            // The runtime becomes part of the binary: calls into it are direct, it starts 10 ms sooner, and a machine
            // that runs it needs no Swift. The archives name each other, so what Foundation stands on is named here.
            // Exclusivity is checked by CExclusivity (docs/decisions/0004-exclusivity-without-a-price.md).
            linkerSettings: [
                .unsafeFlags(
                    ["-static-stdlib", "-use-ld=lld", "-lCoreFoundation", "-l_FoundationICU", "-l_FoundationCShims", "-l_FoundationCollections",
                     "-Xlinker", "--wrap=swift_beginAccess", "-Xlinker", "--wrap=swift_endAccess"],
                    .when(configuration: .release)),
            ]),

        // What `Benchmarks/rules` runs.
        .executableTarget(
            name: "rulecost", dependencies: ["Rules", "HTTP", "Buffers"], path: "Benchmarks/RuleCost", swiftSettings: strict),

        tests("Exclusivity", ["CExclusivity"]),
        tests("Patterns", ["Patterns"]),
        tests("Codings", ["Codings", "Buffers"]),
        tests("Rules", ["Rules", "HTTP", "Patterns", "Codings", "Buffers"]),
        tests("Buffers", ["Buffers"]),
        tests("HTTP", ["HTTP", "Buffers"]),
        tests("HTTP1", ["HTTP1", "HTTP", "Buffers"]),
        tests("Isolates", ["Isolates", "Buffers"]),
        tests("KeyValue", ["KeyValue"]),
        tests("Stores", ["Stores", "KeyValue", "Reactor", "Buffers"]),
        tests("Hooks", ["Hooks", "Rules", "KeyValue", "HTTP", "Buffers"]),
        tests("Cordon", ["Cordon", "Reactor", "Buffers", "CordonProbe"]),
        // Confines itself and tries to break out.
        .executableTarget(
            name: "CordonProbe", dependencies: ["Reactor"], path: "Tests/CordonProbe", swiftSettings: strict),
        tests("Telemetry", ["Telemetry"]),
        tests("Upstream", ["Upstream", "HTTP", "HTTP1", "HTTP2", "TLS", "Reactor", "Buffers", "Telemetry"]),
        tests("Supervisor", ["Supervisor", "Reactor", "Telemetry", "SupervisorProbe"]),
        // A gateway without HTTP, rules or hooks that the supervisor's tests start and hurt.
        .executableTarget(
            name: "SupervisorProbe", dependencies: ["Supervisor", "Reactor", "Telemetry", "Buffers"],
            path: "Tests/SupervisorProbe", swiftSettings: strict),
        tests("Reactor", ["Reactor", "Buffers", "Telemetry"]),
        tests("TLS", ["TLS", "Reactor", "Buffers"]),
        tests("HTTP2", ["HTTP2", "HTTP", "Buffers"]),
        tests("Rehearsal", ["Rehearsal", "Gateway", "Upstream", "Rules", "HTTP"]),
        tests("Gateway", ["Gateway", "Reactor", "TLS", "HTTP", "Buffers"]),
    ],
    cxxLanguageStandard: .cxx17
)
