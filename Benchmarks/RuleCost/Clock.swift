import Foundation
import Glibc

enum Clock {
    /// Nanoseconds that this process has spent on a processor; it counts microseconds.
    static func processor() -> UInt64 { UInt64(clock()) * 1_000 }
}

/// Highest resident memory of this process so far, in KiB.
func peakMemory() -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return line?.split(separator: " ").compactMap { Int($0) }.first ?? 0
}

func fail(_ message: String) -> Never {
    FileHandle.standardError.write(Data("rulecost: error: \(message)\n".utf8))
    exit(1)
}
