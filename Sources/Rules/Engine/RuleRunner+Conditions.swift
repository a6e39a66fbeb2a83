import Buffers
import HTTP
import Patterns

typealias PatternGroup = Capture

/// Evaluating conditions: no allocation, no recursion, no failure.
extension RuleRunner {
    mutating func evaluate(_ condition: Slots, _ generation: Generation, _ exchange: Exchange) -> Bool {
        var result = true
        var index = condition.indices.lowerBound
        let end = condition.indices.upperBound
        while index < end {
            switch generation.program.instructions[index] {
            case .test(let test): result = passes(generation.program.tests[Int(test)], generation, exchange)
            case .constant(let value): result = value
            case .negate: result.toggle()
            case .jumpIfFalse(let target):
                if !result {
                    index = Int(target)
                    continue
                }
            case .jumpIfTrue(let target):
                if result {
                    index = Int(target)
                    continue
                }
            }
            index += 1
        }
        return result
    }

    private mutating func passes(_ test: Test, _ generation: Generation, _ exchange: Exchange) -> Bool {
        switch test.right {
        case .flag: return flag(test.field, exchange) ?? false
        case .exists: return exists(test, generation, exchange)
        default: break
        }
        switch test.type {
        case .text:
            guard !test.any else { return passesAny(test, generation, exchange) }
            guard let left = transformed(test.field, test.transform, generation, exchange) else { return false }
            return passes(test, text: left, generation, exchange)
        case .integer:
            guard let left = number(test.field, test.transform, generation, exchange) else { return false }
            return passes(test, integer: left, generation, exchange)
        case .address:
            guard let left = address(test.field, exchange) else { return false }
            return passes(test, address: left, generation, exchange)
        case .boolean:
            guard let left = flag(test.field, exchange), case .boolean(let right) = test.right else { return false }
            return (left == right) == (test.operation == .equal)
        }
    }

    private mutating func exists(_ test: Test, _ generation: Generation, _ exchange: Exchange) -> Bool {
        switch test.type {
        case .text: text(test.field, generation, exchange) != nil
        case .integer: integer(test.field, exchange) != nil
        case .address: address(test.field, exchange) != nil
        case .boolean: flag(test.field, exchange) != nil
        }
    }

    // MARK: Operands

    mutating func transformed(
        _ field: FieldSlot, _ transform: Comparison.Transform, _ generation: Generation, _ exchange: Exchange
    ) -> Located? {
        guard let value = text(field, generation, exchange) else { return nil }
        return transform == .lowercase ? lowercase(value, generation, exchange) : value
    }

    private mutating func lowercase(_ value: Located, _ generation: Generation, _ exchange: Exchange) -> Located {
        let copy = value.store == .scratch ? scratch.append(copyOf: value.range) : copyToScratch(value, generation, exchange)
        for index in Int(copy.start)..<copy.end { scratch[index] = lowercased(scratch[index]) }
        return Located(store: .scratch, range: copy)
    }

    /// From any store but the scratch itself.
    private mutating func copyToScratch(_ value: Located, _ generation: Generation, _ exchange: Exchange) -> ByteRange {
        let constants = generation.program.constants
        return switch value.store {
        case .request: Access.copy(exchange.request, value.range, to: &scratch)
        case .response: Access.copy(exchange.response, value.range, to: &scratch)
        case .variables: Access.copy(exchange.vars, value.range, to: &scratch)
        case .captures: Access.copy(captureText, value.range, to: &scratch)
        case .constants: Access.copy(constants, value.range, to: &scratch)
        case .scratch: value.range
        }
    }

    private mutating func number(
        _ field: FieldSlot, _ transform: Comparison.Transform, _ generation: Generation, _ exchange: Exchange
    ) -> Int? {
        guard transform == .length else { return integer(field, exchange) }
        return text(field, generation, exchange).map { Int($0.range.count) }
    }

    // MARK: Operators

    private mutating func passes(_ test: Test, text left: Located, _ generation: Generation, _ exchange: Exchange) -> Bool {
        switch test.right {
        case .text(let range): return compare(left, test.operation, Located(store: .constants, range: range), generation, exchange)
        case .field(let field, let transform):
            guard let right = transformed(field, transform, generation, exchange) else { return false }
            return compare(left, test.operation, right, generation, exchange)
        case .texts(let set):
            let table = generation.program.textSets[Int(set)]
            return withBytes(left, generation, exchange) { table.find($0) != nil }
        case .pattern(let index):
            let literals = generation.program.patternGuards[Int(index)]
            if !literals.prefix.isEmpty, !compare(left, .startsWith, Located(store: .constants, range: literals.prefix), generation, exchange) {
                return false
            }
            if !literals.required.isEmpty, !compare(left, .contains, Located(store: .constants, range: literals.required), generation, exchange) {
                return false
            }
            let pattern = generation.program.patterns[Int(index)]
            return withBytes(left, generation, exchange) { pattern.matches($0) }
        default: return false
        }
    }

    private func compare(
        _ left: Located, _ operation: Comparison.Operator, _ right: Located, _ generation: Generation, _ exchange: Exchange
    ) -> Bool {
        withBytes(left, generation, exchange) { a in
            withBytes(right, generation, exchange) { b in
                switch operation {
                case .equal: a.equals(b)
                case .notEqual: !a.equals(b)
                case .contains: a.firstRange(of: b) != nil
                case .startsWith: a.starts(with: b)
                case .endsWith: a.ends(with: b)
                case .like: Self.like(a, b)
                default: false
                }
            }
        }
    }

    /// `*` stands for any run of bytes; everything else for itself.
    static func like(_ text: borrowing Span<UInt8>, _ pattern: borrowing Span<UInt8>) -> Bool {
        var t = 0
        var p = 0
        var star = -1
        var mark = 0
        while t < text.count {
            if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
                star = p
                mark = t
                p += 1
            } else if p < pattern.count, pattern[p] == text[t] {
                t += 1
                p += 1
            } else if star >= 0 {
                p = star + 1
                mark += 1
                t = mark
            } else {
                return false
            }
        }
        while p < pattern.count, pattern[p] == UInt8(ascii: "*") { p += 1 }
        return p == pattern.count
    }

    private mutating func passes(_ test: Test, integer left: Int, _ generation: Generation, _ exchange: Exchange) -> Bool {
        let right: Int
        switch test.right {
        case .integer(let constant): right = constant
        case .field(let field, let transform):
            guard let value = number(field, transform, generation, exchange) else { return false }
            right = value
        case .integers(let slots):
            for index in slots.indices where generation.program.integerRanges[index].contains(left) { return true }
            return false
        default: return false
        }
        switch test.operation {
        case .equal: return left == right
        case .notEqual: return left != right
        case .less: return left < right
        case .lessOrEqual: return left <= right
        case .greater: return left > right
        case .greaterOrEqual: return left >= right
        default: return false
        }
    }

    private func passes(_ test: Test, address left: IPAddress, _ generation: Generation, _ exchange: Exchange) -> Bool {
        switch test.right {
        case .address(let right): return (left == right) == (test.operation == .equal)
        case .addresses(let set): return generation.program.addressSets[Int(set)].contains(left)
        case .field(let field, _):
            guard let right = address(field, exchange) else { return false }
            return (left == right) == (test.operation == .equal)
        default: return false
        }
    }

    /// `any(header.x ...)`: each field of the name in turn. For other fields there is only one value.
    private mutating func passesAny(_ test: Test, _ generation: Generation, _ exchange: Exchange) -> Bool {
        let isResponse = test.field.id == .responseHeader
        guard isResponse || test.field.id == .header else {
            guard let left = transformed(test.field, test.transform, generation, exchange) else { return false }
            return passes(test, text: left, generation, exchange)
        }
        var from = 0
        while let index = isResponse
            ? headerIndex(test.field, exchange.response, generation, from: from)
            : headerIndex(test.field, exchange.request, generation, from: from) {
            let range = isResponse ? exchange.response.fields[index].value : exchange.request.fields[index].value
            var left = Located(store: isResponse ? .response : .request, range: range)
            if test.transform == .lowercase { left = lowercase(left, generation, exchange) }
            if passes(test, text: left, generation, exchange) { return true }
            from = index + 1
        }
        return false
    }

    // MARK: Captures

    /// Fills the groups that the rule's templates use, from the values as they are before its actions.
    mutating func capture(_ sources: Slots, _ generation: Generation, _ exchange: Exchange) {
        while captureRanges.count < generation.program.captureSlots { captureRanges.append(.empty) }
        for index in sources.indices {
            let source = generation.program.captures[index]
            guard captureRanges[Int(source.slot)].isEmpty,
                let subject = transformed(source.field, source.transform, generation, exchange)
            else { continue }
            let pattern = generation.program.patterns[Int(source.pattern)]
            var groups = self.groups
            self.groups = []
            let found = withBytes(subject, generation, exchange) { pattern.firstMatch(in: $0, captures: &groups) }
            self.groups = groups
            guard found, Int(source.group) < groups.count, groups[Int(source.group)].isSet else { continue }
            let group = groups[Int(source.group)]
            keep(subject.range.dropFirst(group.start).prefix(group.count), subject.store, Int(source.slot), exchange)
        }
    }

    private mutating func keep(_ range: ByteRange, _ store: Located.Store, _ slot: Int, _ exchange: Exchange) {
        switch store {
        case .request: captureRanges[slot] = Access.copy(exchange.request, range, to: &captureText)
        case .response: captureRanges[slot] = Access.copy(exchange.response, range, to: &captureText)
        case .variables: captureRanges[slot] = Access.copy(exchange.vars, range, to: &captureText)
        case .scratch: captureRanges[slot] = Access.copy(scratch, range, to: &captureText)
        case .constants, .captures: break
        }
    }
}
