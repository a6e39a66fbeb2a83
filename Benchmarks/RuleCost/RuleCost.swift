import Foundation
import Rules

/// The measurements behind `Benchmarks/rules`. Prints one JSON object a line.
@main
struct RuleCost {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst().map { $0 }
        let numbers = arguments.compactMap { Int($0) }
        switch arguments.first {
        case "evaluate": evaluate(numbers)
        case "count": count(numbers)
        case "load": load(numbers)
        case "hostile": hostile(numbers)
        case "text": print(RuleSet(count: numbers.first ?? 10).text(sites: numbers.dropFirst().first ?? 1), terminator: "")
        default: fail("use evaluate ROUNDS SIZE..., count SIZE PASSES, load SIZE, hostile [NUMBER], or text SIZE [SITES]")
        }
    }

    /// Sizes take turns within each round, so that a drift of the machine meets all of them.
    private static func evaluate(_ numbers: [Int]) {
        guard numbers.count > 1 else { fail("evaluate needs ROUNDS and SIZEs") }
        let contenders = numbers.dropFirst().map { ($0, Evaluation(RuleSet(count: $0))) }
        let sites = numbers.dropFirst().map { ($0, Evaluation(RuleSet(count: $0), sites: max(1, $0 / 100))) }
        for (_, each) in contenders + sites { _ = each.cost(passes: 20, withRules: true) }
        for round in 0..<numbers[0] {
            for (form, list) in [("one site", contenders), ("many sites", sites)] {
                for (size, each) in list {
                    let empty = each.cost(passes: 100, withRules: false)
                    let cost = each.cost(passes: 100, withRules: true)
                    print("{\"round\":\(round),\"form\":\"\(form)\",\"rules\":\(size),\"ns\":\(cost - empty),\"harness_ns\":\(empty)}")
                }
            }
        }
    }

    /// For counters outside: the same work, with nothing else going on.
    private static func count(_ numbers: [Int]) {
        guard numbers.count == 2 else { fail("count needs SIZE and PASSES") }
        let each = Evaluation(RuleSet(count: numbers[0]))
        _ = each.cost(passes: numbers[1], withRules: true)
    }

    private static func load(_ numbers: [Int]) {
        let size = numbers.first ?? 10_000
        let text = Array(RuleSet(count: size).text(sites: max(1, size / 100)).utf8)
        let provider = FileBundle(files: ["rules.yaml": text])
        let begin = Clock.processor()
        let loaded = RuleFile.load("rules.yaml", provider: provider)
        let checked = Clock.processor()
        guard let configuration = loaded.configuration else { fail("the rules do not load:\n\(loaded.diagnostics.text)") }
        let generation = Generation(configuration)
        let compiled = Clock.processor()
        let rules = generation.ruleCount
        let (check, compile) = (Double(checked - begin) / 1e6, Double(compiled - checked) / 1e6)
        print("{\"rules\":\(rules),\"bytes\":\(text.count),\"check_ms\":\(check),\"compile_ms\":\(compile),\"memory_kib\":\(peakMemory())}")
    }

    private static func hostile(_ numbers: [Int]) {
        let files = Hostile.files
        guard let number = numbers.first else {
            for (index, file) in files.enumerated() { print("\(index) \(file.name)") }
            return
        }
        let (name, bytes) = files[number]
        let provider = FileBundle(files: ["rules.yaml": bytes])
        let before = peakMemory()
        let begin = Clock.processor()
        let loaded = RuleFile.load("rules.yaml", provider: provider)
        let text = loaded.diagnostics.text
        let spent = Double(Clock.processor() - begin) / 1e6
        let codes = Set(loaded.diagnostics.map(\.code.rawValue)).sorted().map { "\"\($0)\"" }.joined(separator: ",")
        print("""
            {"file":"\(name)","bytes":\(bytes.count),"refused":\(loaded.configuration == nil),"ms":\(spent),\
            "memory_kib":\(peakMemory() - before),"said":\(text.utf8.count),"codes":[\(codes)]}
            """)
    }
}
