#define _GNU_SOURCE
#include "crash.h"

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLUICE_CRASH_FRAMES = 48, SLUICE_CRASH_STACK = 64 * 1024 };

static int crash_file = -1;
// The handler's own stack: a crash may be the end of the usual one.
static _Alignas(16) char crash_stack[SLUICE_CRASH_STACK];

// Everything in here must be fit for a process whose memory is in disorder: no allocation, no lock.
static void write_text(const char *text) {
    ssize_t ignored = write(crash_file, text, strlen(text));
    (void)ignored;
}

static void write_number(uint64_t value, unsigned base) {
    char digits[24];
    int at = sizeof digits;
    digits[--at] = 0;
    do digits[--at] = "0123456789abcdef"[value % base];
    while ((value /= base) && at > 0);
    write_text(digits + at);
}

static void crashed(int signal, siginfo_t *info, void *context) {
    (void)context;
    void *frames[SLUICE_CRASH_FRAMES];
    write_text("signal ");
    write_number((uint64_t)signal, 10);
    write_text(", code ");
    write_number((uint64_t)(uint32_t)info->si_code, 10);
    write_text(", address 0x");
    write_number((uint64_t)(uintptr_t)info->si_addr, 16);
    write_text("\n");
    int count = backtrace(frames, SLUICE_CRASH_FRAMES);
    backtrace_symbols_fd(frames, count, crash_file);
    // The disposition is the default again: this ends the process with the same signal, once the handler returns.
    raise(signal);
}

int sluice_crash_memory(void) {
    int fd = memfd_create("sluice-crash", MFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int sluice_crash_install(int fd) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};
    struct stat status;
    if (fstat(fd, &status) < 0) return -errno;
    if (!S_ISREG(status.st_mode)) return -EINVAL;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    // The first call loads a library, which a crashed process must not have to do.
    void *warm[1];
    backtrace(warm, 1);
    crash_file = fd;
    stack_t stack = {.ss_sp = crash_stack, .ss_size = sizeof crash_stack};
    if (sigaltstack(&stack, NULL) < 0) return -errno;
    struct sigaction action = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], &action, NULL) < 0) return -errno;
    return 0;
}

int sluice_write_private_file(const char *path, const void *bytes, size_t count) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return -errno;
    size_t done = 0;
    int error = 0;
    while (done < count && !error) {
        ssize_t written = write(fd, (const char *)bytes + done, count - done);
        if (written > 0) done += (size_t)written;
        else if (written == 0 || errno != EINTR) error = written == 0 ? -EIO : -errno;
    }
    close(fd);
    if (error) unlink(path);
    return error;
}
