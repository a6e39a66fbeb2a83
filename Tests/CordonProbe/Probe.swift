import Glibc
import Reactor

/// Confines itself as a cordon does, then tries one thing that a cordon must not be able to do. Exit status 0: it was
/// refused; 7: it worked. Death by a signal is a refusal too.
@main
struct Probe {
    static func main() {
        let outcome = Confinement.apply(Confinement.Limits())
        guard outcome.failure.isEmpty else { _exit(9) }
        _exit(attempt(CommandLine.arguments.last ?? "") ? 7 : 0)
    }

    /// True when it worked.
    private static func attempt(_ what: String) -> Bool {
        switch what {
        case "nothing": return true
        case "read a file": return unsafe Glibc.open("/etc/passwd", O_RDONLY) >= 0
        case "write a file": return unsafe Glibc.open("/tmp/sluice-probe", O_WRONLY | O_CREAT, 0o600) >= 0
        case "list a folder": return unsafe opendir("/") != nil
        case "make a socket": return socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) >= 0
        case "make a local socket": return socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0) >= 0
        case "run a program": return execl("/bin/true")
        case "signal the parent": return kill(getppid(), 0) == 0
        case "make a thread": return startThread()
        case "lift a limit": return lift()
        case "take very much memory": return takeMemory()
        default: return false
        }
    }

    private static func execl(_ path: String) -> Bool {
        var arguments: [UnsafeMutablePointer<CChar>?] = unsafe [strdup(path), nil]
        return unsafe execv(path, &arguments) == 0
    }

    private static func startThread() -> Bool {
        var thread = pthread_t()
        return unsafe pthread_create(&thread, nil, { _ in nil }, nil) == 0
    }

    private static func lift() -> Bool {
        var limit = rlimit(rlim_cur: 1 << 40, rlim_max: 1 << 40)
        return unsafe setrlimit(__rlimit_resource_t(2), &limit) == 0
    }

    private static func takeMemory() -> Bool {
        unsafe mmap(nil, 2 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED
    }
}
