#define _GNU_SOURCE
#include "net.h"

#include "listening.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int sluice_epoll_create(void) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int epoll_add(int epoll, int fd, uint64_t data, uint32_t events) {
    struct epoll_event event = {.events = events, .data = {.u64 = data}};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int sluice_epoll_add(int epoll, int fd, uint64_t data) {
    return epoll_add(epoll, fd, data, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int sluice_epoll_add_level(int epoll, int fd, uint64_t data) { return epoll_add(epoll, fd, data, EPOLLIN); }

int sluice_epoll_remove(int epoll, int fd) {
    return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL) < 0 ? -errno : 0;
}

int sluice_epoll_wait(int epoll, struct sluice_event *events, int capacity, int timeout_ms) {
    struct epoll_event raw[256];
    int n = epoll_wait(epoll, raw, capacity < 256 ? capacity : 256, timeout_ms);
    if (n < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++) {
        uint32_t from = raw[i].events, to = 0;
        if (from & EPOLLIN) to |= SLUICE_READABLE;
        if (from & EPOLLOUT) to |= SLUICE_WRITABLE;
        if (from & EPOLLRDHUP) to |= SLUICE_HANGUP | SLUICE_READABLE;
        if (from & (EPOLLERR | EPOLLHUP)) to |= SLUICE_ERROR | SLUICE_READABLE | SLUICE_WRITABLE;
        events[i].data = raw[i].data.u64;
        events[i].events = to;
    }
    return n;
}

int sluice_eventfd(void) {
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int sluice_eventfd_signal(int fd) {
    uint64_t one = 1;
    return write(fd, &one, sizeof one) < 0 && errno != EAGAIN ? -errno : 0;
}

int sluice_eventfd_drain(int fd) {
    uint64_t value;
    return read(fd, &value, sizeof value) < 0 && errno != EAGAIN ? -errno : 0;
}

// The C library makes each of these a point where a thread may be cancelled, which nobody does here; it costs a tenth of
// a microsecond per request. Sanitizers want to see the calls.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLUICE_PLAIN_CALLS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SLUICE_PLAIN_CALLS 1
#endif
#endif

#ifdef SLUICE_PLAIN_CALLS
static ssize_t receive_call(int fd, void *buffer, size_t length) { return recv(fd, buffer, length, 0); }
static ssize_t send_call(int fd, const void *buffer, size_t length, int flags) { return send(fd, buffer, length, flags); }
static ssize_t sendmsg_call(int fd, const struct msghdr *message, int flags) { return sendmsg(fd, message, flags); }
#else
static ssize_t receive_call(int fd, void *buffer, size_t length) { return syscall(SYS_recvfrom, fd, buffer, length, 0, NULL, NULL); }
static ssize_t send_call(int fd, const void *buffer, size_t length, int flags) {
    return syscall(SYS_sendto, fd, buffer, length, flags, NULL, 0);
}
static ssize_t sendmsg_call(int fd, const struct msghdr *message, int flags) { return syscall(SYS_sendmsg, fd, message, flags); }
#endif

ssize_t sluice_recv(int fd, void *buffer, size_t length) {
    ssize_t n;
    do n = receive_call(fd, buffer, length); while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t sluice_send(int fd, const void *buffer, size_t length, int more) {
    ssize_t n;
    do n = send_call(fd, buffer, length, MSG_NOSIGNAL | (more ? MSG_MORE : 0)); while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t sluice_sendmsg(int fd, struct iovec *vectors, int count, int more) {
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = (size_t)count};
    ssize_t n;
    do n = sendmsg_call(fd, &message, MSG_NOSIGNAL | (more ? MSG_MORE : 0)); while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void from_sockaddr(const struct sockaddr_storage *from, struct sluice_address *to) {
    memset(to, 0, sizeof *to);
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
        to->family = 4;
        memcpy(to->bytes, &v4->sin_addr, 4);
        to->port = ntohs(v4->sin_port);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
        to->family = 6;
        memcpy(to->bytes, &v6->sin6_addr, 16);
        to->port = ntohs(v6->sin6_port);
    }
}

static socklen_t to_sockaddr(const struct sluice_address *from, struct sockaddr_storage *to) {
    memset(to, 0, sizeof *to);
    if (from->family == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)to;
        v4->sin_family = AF_INET;
        memcpy(&v4->sin_addr, from->bytes, 4);
        v4->sin_port = htons(from->port);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
    v6->sin6_family = AF_INET6;
    memcpy(&v6->sin6_addr, from->bytes, 16);
    v6->sin6_port = htons(from->port);
    return sizeof *v6;
}

long sluice_peek(int fd, void *buffer, size_t length) {
    ssize_t n;
    do n = recv(fd, buffer, length, MSG_PEEK | MSG_DONTWAIT); while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void no_delay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

int sluice_accept(int fd, struct sluice_address *peer) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int n;
    do n = accept4(fd, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC); while (n < 0 && errno == EINTR);
    if (n < 0) return -errno;
    from_sockaddr(&address, peer);
    no_delay(n);
    return n;
}

int sluice_connect(const struct sluice_address *address, int *in_progress) {
    struct sockaddr_storage storage;
    socklen_t length = to_sockaddr(address, &storage);
    int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    no_delay(fd);
    sluice_do_not_pace(fd, &storage);
    *in_progress = 0;
    if (connect(fd, (struct sockaddr *)&storage, length) < 0) {
        if (errno != EINPROGRESS) {
            int error = errno;
            close(fd);
            return -error;
        }
        *in_progress = 1;
    }
    return fd;
}

int sluice_socket_error(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return errno;
    return error;
}

int64_t sluice_round_trip(int fd) {
    struct tcp_info info;
    socklen_t length = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0) return -errno;
    return info.tcpi_rtt;
}

int64_t sluice_acknowledged(int fd) {
    struct tcp_info info;
    socklen_t length = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0) return -errno;
    return (int64_t)info.tcpi_bytes_acked;
}

int sluice_limit_unsent(int fd, int bytes) {
    return setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes) < 0 ? -errno : 0;
}

int sluice_receive_threshold(int fd, int bytes) {
    return setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes) < 0 ? -errno : 0;
}

int sluice_local_address(int fd, struct sluice_address *address) {
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    if (getsockname(fd, (struct sockaddr *)&storage, &length) < 0) return -errno;
    from_sockaddr(&storage, address);
    return 0;
}

int sluice_shutdown_write(int fd) { return shutdown(fd, SHUT_WR) < 0 ? -errno : 0; }

int sluice_close_reset(int fd) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    return close(fd) < 0 ? -errno : 0;
}

int sluice_close(int fd) { return close(fd) < 0 ? -errno : 0; }

int sluice_pipe(int fds[2], int size) {
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) return -errno;
    int got = fcntl(fds[1], F_SETPIPE_SZ, size);
    if (got < 0) got = fcntl(fds[1], F_GETPIPE_SZ);
    return got;
}

ssize_t sluice_splice(int from, int to, size_t length, int more) {
    ssize_t n;
    do n = splice(from, NULL, to, NULL, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0));
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

uint64_t sluice_monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int64_t sluice_wall_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now.tv_sec;
}

int64_t sluice_wall_microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int sluice_random(void *buffer, size_t length) {
    ssize_t n = getrandom(buffer, length, 0);
    return n == (ssize_t)length ? 0 : -errno;
}

int sluice_blocking_eventfd(void) {
    int fd = eventfd(0, EFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

struct thread_start {
    void (*run)(void *);
    void *context;
};

static void *thread_main(void *raw) {
    struct thread_start start = *(struct thread_start *)raw;
    free(raw);
    start.run(start.context);
    return NULL;
}

int sluice_thread_start(void (*run)(void *), void *context) {
    struct thread_start *start = malloc(sizeof *start);
    if (!start) return -ENOMEM;
    start->run = run;
    start->context = context;
    // Signals belong to the main thread.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int error = pthread_create(&thread, NULL, thread_main, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        free(start);
        return -error;
    }
    pthread_detach(thread);
    return 0;
}

// MARK: datagrams

static int connected(int fd, const struct sockaddr *address, socklen_t length) {
    if (fd < 0) return -errno;
    if (connect(fd, address, length) == 0) return fd;
    int error = -errno;
    close(fd);
    return error;
}

int sluice_datagram_local(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof address.sun_path) return -EINVAL;
    memcpy(address.sun_path, path, length);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return connected(fd, (struct sockaddr *)&address, sizeof address);
}

int sluice_datagram(const struct sluice_address *address) {
    struct sockaddr_storage storage;
    socklen_t length = to_sockaddr(address, &storage);
    int fd = socket(storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return connected(fd, (struct sockaddr *)&storage, length);
}

ssize_t sluice_send_parts(int fd, const void *first, size_t first_count, const void *second, size_t second_count) {
    struct iovec parts[2] = {{(void *)first, first_count}, {(void *)second, second_count}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t sent;
    do sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

int sluice_host_name(char name[256]) {
    if (gethostname(name, 255) < 0) return -errno;
    name[255] = 0;
    return 0;
}
