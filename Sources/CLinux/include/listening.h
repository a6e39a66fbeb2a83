// Listening sockets, and how connections within the machine are paced. Negative errno, or what is asked for.
#ifndef SLUICE_LISTENING_H
#define SLUICE_LISTENING_H

#include <stdint.h>

// Which step of opening a listening socket failed.
enum sluice_listen_step {
    SLUICE_LISTEN_PARSE = 1, SLUICE_LISTEN_SOCKET, SLUICE_LISTEN_OPTION, SLUICE_LISTEN_BIND, SLUICE_LISTEN_LISTEN
};
// Opens a non-blocking, close-on-exec listening TCP socket on a numeric address.
// `shared` sets SO_REUSEPORT. IPv6 sockets are IPv6 only.
int sluice_listen_tcp(const char *address, uint16_t port, int backlog, int shared, int *step);
int sluice_local_port(int fd);
// Numeric address and port of a listening TCP socket; makes it non-blocking and close-on-exec. -EINVAL for anything else.
int sluice_listening_endpoint(int fd, char address[64], uint16_t *port);

// A connection within this machine has no bottleneck and loses nothing: what the system's congestion control does beyond
// counting (BBR paces, which cuts a large body into small segments with a timer before each) only costs. If `address` is a
// loopback one, the socket has reno, which every kernel has and lets everybody choose. For sockets that will connect or listen
// there: connections inherit it, and one that has begun to pace goes on with that.
struct sockaddr_storage;
void sluice_do_not_pace(int fd, const struct sockaddr_storage *address);

#endif
