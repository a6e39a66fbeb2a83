// epoll, sockets and pipes. Every call answers a count or a negative errno, so that Swift never
// reads the thread's errno after something else may have changed it.
#ifndef SLUICE_NET_H
#define SLUICE_NET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct sluice_event {
    uint64_t data;
    uint32_t events;
};

enum {
    SLUICE_READABLE = 1,
    SLUICE_WRITABLE = 2,
    SLUICE_HANGUP = 4,
    SLUICE_ERROR = 8,
};

// An IPv4 (family 4) or IPv6 (family 6) address in network byte order.
struct sluice_address {
    uint8_t family;
    uint8_t bytes[16];
    uint16_t port;
};

int sluice_epoll_create(void);
// Edge-triggered, for reading, writing and hang-up at once; never changed afterwards.
int sluice_epoll_add(int epoll, int fd, uint64_t data);
// Level-triggered reading only: listening sockets, event and signal descriptors.
int sluice_epoll_add_level(int epoll, int fd, uint64_t data);
int sluice_epoll_remove(int epoll, int fd);
int sluice_epoll_wait(int epoll, struct sluice_event *events, int capacity, int timeout_ms);

int sluice_eventfd(void);
int sluice_eventfd_signal(int fd);
int sluice_eventfd_drain(int fd);

ssize_t sluice_recv(int fd, void *buffer, size_t length);
ssize_t sluice_send(int fd, const void *buffer, size_t length, int more);
ssize_t sluice_sendmsg(int fd, struct iovec *vectors, int count, int more);
int sluice_accept(int fd, struct sluice_address *peer);
// Copies what the socket has received and leaves it there. Bytes, 0 at the end, or -errno.
long sluice_peek(int fd, void *buffer, size_t length);

// Starts a non-blocking connect: the new descriptor, or a negative errno. *in_progress says whether
// the result is still to come (then it shows as writable).
int sluice_connect(const struct sluice_address *address, int *in_progress);
int sluice_socket_error(int fd);
// Datagram sockets that never block, connected to where log lines go.
int sluice_datagram_local(const char *path);
int sluice_datagram(const struct sluice_address *address);
// Sends two parts as one datagram, without waiting.
ssize_t sluice_send_parts(int fd, const void *first, size_t first_count, const void *second, size_t second_count);
// Name of this machine, with its NUL.
int sluice_host_name(char name[256]);
// Smoothed round trip time to the peer in microseconds, or a negative errno.
int64_t sluice_round_trip(int fd);
// Bytes that the peer has acknowledged since the connection began, or a negative errno.
int64_t sluice_acknowledged(int fd);
// Makes the kernel take no more once `bytes` wait that were not sent yet; connections of a listening socket inherit it.
int sluice_limit_unsent(int fd, int bytes);
// The socket is called readable once `bytes` wait, or at its end (SO_RCVLOWAT); reading takes what there is all the same.
int sluice_receive_threshold(int fd, int bytes);
int sluice_local_address(int fd, struct sluice_address *address);
int sluice_shutdown_write(int fd);
// Closes with a reset instead of an orderly end.
int sluice_close_reset(int fd);
int sluice_close(int fd);

int sluice_pipe(int fds[2], int size);
ssize_t sluice_splice(int from, int to, size_t length, int more);

uint64_t sluice_monotonic_ns(void);
int64_t sluice_wall_seconds(void);
int64_t sluice_wall_microseconds(void);
// An eventfd whose reads wait.
int sluice_blocking_eventfd(void);
// Runs `run(context)` on a detached thread that takes no signals: 0 or a negative errno.
int sluice_thread_start(void (*run)(void *), void *context);

// Fills `buffer` with random bytes: 0 or a negative errno.
int sluice_random(void *buffer, size_t length);

#endif
