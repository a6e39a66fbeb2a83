#define _GNU_SOURCE
#include "listening.h"

#include "process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void sluice_do_not_pace(int fd, const struct sockaddr_storage *address) {
    static const uint8_t mapped[13] = {[10] = 0xff, [11] = 0xff, [12] = 127};
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
    int within = address->ss_family == AF_INET ? ntohl(v4->sin_addr.s_addr) >> 24 == 127
        : address->ss_family == AF_INET6 && (IN6_IS_ADDR_LOOPBACK(v6) || memcmp(v6, mapped, sizeof mapped) == 0);
    if (within) setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

static int listen_failed(int fd, int which, int *step) {
    int error = -errno;
    *step = which;
    if (fd >= 0) close(fd);
    return error;
}

int sluice_listen_tcp(const char *address, uint16_t port, int backlog, int shared, int *step) {
    struct sockaddr_storage local = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&local;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&local;
    int family = AF_INET;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_port = htons(port);
    } else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
        family = AF_INET6;
        v6->sin6_port = htons(port);
    } else {
        *step = SLUICE_LISTEN_PARSE;
        return -EINVAL;
    }
    local.ss_family = (sa_family_t)family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) return listen_failed(fd, SLUICE_LISTEN_SOCKET, step);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
        (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0))
        return listen_failed(fd, SLUICE_LISTEN_OPTION, step);
    sluice_do_not_pace(fd, &local);
    if (bind(fd, (struct sockaddr *)&local, family == AF_INET ? sizeof *v4 : sizeof *v6) < 0) return listen_failed(fd, SLUICE_LISTEN_BIND, step);
    if (backlog > 0 && listen(fd, backlog) < 0) return listen_failed(fd, SLUICE_LISTEN_LISTEN, step);
    return fd;
}

int sluice_local_port(int fd) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0) return -errno;
    if (address.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&address)->sin_port);
    if (address.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return -EAFNOSUPPORT;
}

int sluice_listening_endpoint(int fd, char address[64], uint16_t *port) {
    struct sockaddr_storage local;
    socklen_t length = sizeof local, size = sizeof(int);
    int listening = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0) return -errno;
    if (!listening || getsockname(fd, (struct sockaddr *)&local, &length) < 0) return -EINVAL;
    const void *number = NULL;
    if (local.ss_family == AF_INET) number = &((struct sockaddr_in *)&local)->sin_addr;
    if (local.ss_family == AF_INET6) number = &((struct sockaddr_in6 *)&local)->sin6_addr;
    if (!number || !inet_ntop(local.ss_family, number, address, 64)) return -EINVAL;
    int found = sluice_local_port(fd);
    if (found < 0) return found;
    sluice_do_not_pace(fd, &local);
    *port = (uint16_t)found;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return -errno;
    return sluice_set_nonblocking(fd, 1);
}
