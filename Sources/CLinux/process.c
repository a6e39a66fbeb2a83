#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int failed(void) { return errno > 0 ? -errno : -EIO; }
static int checked(int result) { return result < 0 ? failed() : result; }

const char *sluice_errno_name(int error) {
    const char *name = strerrorname_np(error);
    return name ? name : "unknown error";
}

const char *sluice_errno_text(int error) {
    const char *text = strerrordesc_np(error);
    return text ? text : "unknown error";
}

// MARK: processes

enum { SLUICE_SPAWN_DESCRIPTORS = 16 };

static int prepare_actions(posix_spawn_file_actions_t *actions, const int *from, const int *to, int count,
                           int keep_stdio, int *high) {
    int lowest = 3, error = 0;
    for (int target = 0; target < 3 && !keep_stdio && !error; target++)
        error = posix_spawn_file_actions_addopen(actions, target, "/dev/null", target ? O_WRONLY : O_RDONLY, 0);
    for (int i = 0; i < count && !error; i++) {
        // Moved out of the way first, so that no target overwrites a source that is still needed.
        high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 256);
        if (high[i] < 0) return failed();
        error = posix_spawn_file_actions_adddup2(actions, high[i], to[i]);
        if (to[i] >= lowest) lowest = to[i] + 1;
    }
    // Targets above 2 that are not in the map lie between: close them one by one.
    for (int fd = 3; fd < lowest && !error; fd++) {
        int mapped = 0;
        for (int i = 0; i < count; i++) mapped |= to[i] == fd;
        if (!mapped) error = posix_spawn_file_actions_addclose(actions, fd);
    }
    if (!error) error = posix_spawn_file_actions_addclosefrom_np(actions, lowest);
    return -error;
}

static int prepare_attributes(posix_spawnattr_t *attributes, const int *blocked, int blocked_count) {
    sigset_t mask, all;
    sigemptyset(&mask);
    for (int i = 0; i < blocked_count; i++) sigaddset(&mask, blocked[i]);
    sigfillset(&all);
    int error = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (!error) error = posix_spawnattr_setsigmask(attributes, &mask);
    if (!error) error = posix_spawnattr_setsigdefault(attributes, &all);
    return -error;
}

pid_t sluice_spawn(const char *path, char *const argv[], char *const envp[], const int *from, const int *to,
                   int count, int keep_stdio, const int *blocked, int blocked_count) {
    if (count < 0 || count > SLUICE_SPAWN_DESCRIPTORS) return -EINVAL;
    int high[SLUICE_SPAWN_DESCRIPTORS];
    for (int i = 0; i < SLUICE_SPAWN_DESCRIPTORS; i++) high[i] = -1;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return -error;
    error = posix_spawnattr_init(&attributes);
    if (error) {
        posix_spawn_file_actions_destroy(&actions);
        return -error;
    }
    pid_t pid = -1;
    error = prepare_actions(&actions, from, to, count, keep_stdio, high);
    if (!error) error = prepare_attributes(&attributes, blocked, blocked_count);
    if (!error) error = -posix_spawn(&pid, path, &actions, &attributes, argv, envp);
    for (int i = 0; i < count; i++)
        if (high[i] >= 0) close(high[i]);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error ? error : pid;
}

int sluice_pidfd_open(pid_t pid) { return checked((int)syscall(SYS_pidfd_open, pid, 0)); }

int sluice_pidfd_signal(int pidfd, int signal) {
    return checked((int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

int sluice_reap(pid_t pid, int *code, int *by_signal) {
    int status = 0;
    pid_t ended;
    do ended = waitpid(pid, &status, WNOHANG);
    while (ended < 0 && errno == EINTR);
    if (ended < 0) return failed();
    if (ended == 0) return 0;
    *by_signal = WIFSIGNALED(status) ? 1 : 0;
    *code = *by_signal ? WTERMSIG(status) : WEXITSTATUS(status);
    return 1;
}

int sluice_die_with_parent(void) { return checked(prctl(PR_SET_PDEATHSIG, SIGKILL)); }
int sluice_no_new_privileges(void) { return checked(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); }

int sluice_no_core_dumps(void) {
    struct rlimit none = {0, 0};
    return checked(setrlimit(RLIMIT_CORE, &none));
}

int sluice_raise_descriptor_limit(uint64_t *limit) {
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) < 0) return failed();
    now.rlim_cur = now.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &now) < 0) return failed();
    *limit = now.rlim_cur;
    return 0;
}

pid_t sluice_self(void) { return getpid(); }
pid_t sluice_parent(void) { return getppid(); }
const char *sluice_environment(const char *name) { return getenv(name); }

char *const *sluice_all_environment(void) { return environ; }

int sluice_cpu_count(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) < 0) return (int)sysconf(_SC_NPROCESSORS_ONLN);
    int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}

// MARK: signals

static void fill(sigset_t *set, const int *signals, int count) {
    sigemptyset(set);
    for (int i = 0; i < count; i++) sigaddset(set, signals[i]);
}

int sluice_block_signals(const int *signals, int count) {
    sigset_t set;
    fill(&set, signals, count);
    int error = pthread_sigmask(SIG_BLOCK, &set, NULL);
    return -error;
}

int sluice_signal_descriptor(const int *signals, int count) {
    int result = sluice_block_signals(signals, count);
    if (result < 0) return result;
    sigset_t set;
    fill(&set, signals, count);
    return checked(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
}

int sluice_signal_read(int fd) {
    struct signalfd_siginfo info;
    ssize_t count;
    do count = read(fd, &info, sizeof info);
    while (count < 0 && errno == EINTR);
    if (count < 0) return errno == EAGAIN ? 0 : failed();
    return count == sizeof info ? (int)info.ssi_signo : -EIO;
}

int sluice_ignore_signal(int signal) {
    struct sigaction action = {.sa_handler = SIG_IGN};
    return checked(sigaction(signal, &action, NULL));
}

// MARK: control packets

int sluice_control_pair(int pair[2]) {
    return checked(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
}

int sluice_set_nonblocking(int fd, int on) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return failed();
    return checked(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

int sluice_control_send(int fd, const void *bytes, size_t count, int descriptor) {
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = count};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (descriptor >= 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.space;
        message.msg_controllen = sizeof control.space;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    ssize_t sent;
    do sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0) return failed();
    return (size_t)sent == count ? 0 : -EMSGSIZE;
}

ssize_t sluice_control_receive(int fd, void *bytes, size_t capacity, int *descriptor) {
    struct iovec vector = {.iov_base = bytes, .iov_len = capacity};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    *descriptor = -1;
    ssize_t received;
    do received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    while (received < 0 && errno == EINTR);
    if (received < 0) return failed();
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header))
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
            header->cmsg_len == CMSG_LEN(sizeof(int)))
            memcpy(descriptor, CMSG_DATA(header), sizeof(int));
    if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        if (*descriptor >= 0) close(*descriptor);
        *descriptor = -1;
        return -EMSGSIZE;
    }
    return received;
}

// MARK: files

int sluice_sealed_memory(const char *name, const void *bytes, size_t count) {
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return failed();
    size_t done = 0;
    while (done < count) {
        ssize_t written = write(fd, (const char *)bytes + done, count - done);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            int error = failed();
            close(fd);
            return error;
        }
        done += (size_t)written;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
        int error = failed();
        close(fd);
        return error;
    }
    return fd;
}

int sluice_is_sealed(int fd) {
    int seals = fcntl(fd, F_GET_SEALS);
    int wanted = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK;
    return seals >= 0 && (seals & wanted) == wanted;
}

int64_t sluice_file_size(int fd) {
    struct stat status;
    return fstat(fd, &status) < 0 ? failed() : status.st_size;
}

ssize_t sluice_read_at(int fd, void *bytes, size_t count, int64_t offset) {
    ssize_t result;
    do result = pread(fd, bytes, count, offset);
    while (result < 0 && errno == EINTR);
    return result < 0 ? failed() : result;
}

ssize_t sluice_write_some(int fd, const void *bytes, size_t count) {
    ssize_t result = send(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (result < 0 && errno == ENOTSOCK) result = write(fd, bytes, count);
    return result < 0 ? failed() : result;
}

int sluice_open_append(const char *path) {
    return checked(open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640));
}

int sluice_reopen_for_writing(int fd) {
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return checked(open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

int sluice_kind(int fd) {
    struct stat status;
    if (fstat(fd, &status) < 0) return failed();
    if (S_ISREG(status.st_mode)) return 'f';
    if (S_ISFIFO(status.st_mode)) return 'p';
    if (S_ISSOCK(status.st_mode)) return 's';
    return isatty(fd) ? 't' : 'o';
}

int sluice_duplicate(int fd) { return checked(fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

void sluice_utc_timestamp(char out[25]) {
    struct timespec now;
    struct tm parts;
    char seconds[20];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(out, 25, "%s.%03dZ", seconds, (int)(now.tv_nsec / 1000000) % 1000);
}

int sluice_notify(const char *path, const char *state) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length < 2 || length >= sizeof address.sun_path) return -EINVAL;
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') address.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return failed();
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address, size);
    int result = sent < 0 ? failed() : 0;
    close(fd);
    return result;
}
