#define _GNU_SOURCE
#include "confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

// MARK: landlock. The numbers are the kernel's; Debian's headers know older versions only.

struct landlock_ruleset {
    uint64_t handled_fs, handled_net, scoped;
};

enum { LANDLOCK_CREATE = 444, LANDLOCK_RESTRICT = 446, LANDLOCK_VERSION_FLAG = 1 };

int sluice_landlock_everything(void) {
    long version = syscall(LANDLOCK_CREATE, NULL, 0, LANDLOCK_VERSION_FLAG);
    if (version < 0) return -errno;
    // File rights by version of the interface: 13 bits in the first, then refer, truncate, ioctl.
    static const uint64_t files[] = {0x1fff, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff};
    struct landlock_ruleset rules = {files[version < 5 ? version : 5], 0, 0};
    size_t size = sizeof(uint64_t);
    if (version >= 4) {
        rules.handled_net = 3;   // bind and connect of TCP
        size = 2 * sizeof(uint64_t);
    }
    if (version >= 6) {
        rules.scoped = 3;        // abstract sockets and signals
        size = sizeof rules;
    }
    int fd = (int)syscall(LANDLOCK_CREATE, &rules, size, 0);
    if (fd < 0) return -errno;
    int error = syscall(LANDLOCK_RESTRICT, fd, 0) < 0 ? -errno : 0;
    close(fd);
    return error;
}

// MARK: seccomp

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define ANSWER(name, error) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))

#if defined(__x86_64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

int sluice_seccomp_cordon(int threads) {
#ifndef OUR_ARCHITECTURE
    return -ENOSYS;
#else
    static struct sock_filter program[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCHITECTURE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
        // A thread, if any may be made: whoever passes this test (THREADS_RULE below) makes no process.
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4),
        LOAD(args[0]),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        // The loop and the ring.
#ifdef SYS_epoll_wait
        ALLOW(epoll_wait),
#endif
        ALLOW(epoll_pwait), ALLOW(epoll_ctl), ALLOW(read), ALLOW(write), ALLOW(writev), ALLOW(recvmsg), ALLOW(sendmsg),
        ALLOW(close), ALLOW(futex), ALLOW(clock_gettime), ALLOW(clock_nanosleep), ALLOW(nanosleep), ALLOW(gettimeofday),
        ALLOW(sched_yield), ALLOW(getrandom),
        // Memory: code is made at run time, so mprotect must be free to.
        ALLOW(mmap), ALLOW(munmap), ALLOW(mremap), ALLOW(mprotect), ALLOW(madvise), ALLOW(brk),
        // Threads that are there; others only with THREADS_RULE.
        ALLOW(rt_sigaction), ALLOW(rt_sigprocmask), ALLOW(rt_sigreturn), ALLOW(sigaltstack), ALLOW(getpid), ALLOW(gettid),
        ALLOW(tgkill), ALLOW(exit), ALLOW(exit_group), ALLOW(restart_syscall), ALLOW(getrusage), ALLOW(clock_getres),
        ALLOW(sched_getaffinity), ALLOW(membarrier),
        // What libraries ask in passing: no, without ceremony.
        ANSWER(openat, EACCES), ANSWER(newfstatat, EACCES), ANSWER(fstat, EACCES), ANSWER(readlinkat, EACCES),
        ANSWER(faccessat, EACCES), ANSWER(getcwd, EACCES), ANSWER(prctl, EPERM), ANSWER(prlimit64, EPERM),
        ANSWER(uname, EPERM), ANSWER(ioctl, ENOTTY), ANSWER(fcntl, EPERM), ANSWER(lseek, ESPIPE), ANSWER(sysinfo, EPERM),
        ANSWER(statx, EACCES), ANSWER(sendto, ENOTSOCK), ANSWER(clone3, ENOSYS), ANSWER(getppid, EPERM),
        ANSWER(getdents64, EACCES), ANSWER(pkey_alloc, ENOSYS), ANSWER(set_robust_list, EPERM),
#ifdef SYS_rseq
        ALLOW(rseq),  // glibc ends the process when a new thread is refused it
#endif
#ifdef SYS_open
        ANSWER(open, EACCES), ANSWER(stat, EACCES), ANSWER(lstat, EACCES), ANSWER(access, EACCES), ANSWER(readlink, EACCES),
#endif
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    enum { THREADS_RULE = 6 };
    program[THREADS_RULE].k = threads ? CLONE_THREAD : 0;
    struct sock_fprog list = {sizeof program / sizeof *program, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
    // Every thread of the process, the watchdog too.
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &list) == 0 ? 0 : -EPERM;
#endif
}

static int limit(int what, uint64_t value) {
    struct rlimit both = {value, value};
    return setrlimit((__rlimit_resource_t)what, &both) < 0 ? -errno : 0;
}

int sluice_limit_cordon(const struct sluice_cordon_limits *limits) {
    int error = limit(RLIMIT_CORE, 0);
    if (!error && !sluice_is_sanitized()) error = limit(RLIMIT_AS, limits->address_space);
    if (!error && !sluice_is_sanitized()) error = limit(RLIMIT_DATA, limits->data);
    if (!error) error = limit(RLIMIT_CPU, limits->cpu_seconds);
    if (!error) error = limit(RLIMIT_NOFILE, limits->descriptors);
    return error;
}
