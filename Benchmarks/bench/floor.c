// What any proxy on epoll pays: per request and answer one receive and one send on each side, and nothing between them. It reads no
// HTTP: each client has a connection of its own to the origin, and bytes go over as they come, up to 64 KiB at once.
//
//   floor PORT ORIGIN-PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 4096, EVENTS = 256 };

// The other end of each descriptor; 0 is none.
static int peers[CONNECTIONS];
static char buffer[65536];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

// As Sluice's sockets are: no delay, and the congestion control that has no pacing where both ends are on this machine.
static int configured(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    return fd;
}

static struct sockaddr_in loopback(const char *port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}

static void accept_one(int epoll, int listener, const struct sockaddr_in *origin) {
    int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (client < 0) return;
    int fd = configured(socket(AF_INET, SOCK_STREAM, 0));
    if (client >= CONNECTIONS || fd >= CONNECTIONS || connect(fd, (const struct sockaddr *)origin, sizeof *origin) != 0) fail("the origin");
    peers[client] = fd;
    peers[fd] = client;
    watch(epoll, configured(client));
    watch(epoll, fd);
}

static void end(int fd) {
    int peer = peers[fd];
    peers[fd] = peers[peer] = 0;
    close(fd);
    close(peer);
}

static void pass(int fd) {
    if (peers[fd] == 0) return;
    ssize_t count;
    do {
        count = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (count < 0 && errno == EAGAIN) return;
        // No more than fits into the buffers of a socket is under way between a request and its answer.
        if (count <= 0 || send(peers[fd], buffer, (size_t)count, MSG_NOSIGNAL) != count) return end(fd);
    } while (count == sizeof buffer);
}

int main(int count, char **arguments) {
    if (count != 3) {
        fprintf(stderr, "floor: usage: floor PORT ORIGIN-PORT\n");
        return 2;
    }
    struct sockaddr_in here = loopback(arguments[1]), origin = loopback(arguments[2]);
    int listener = configured(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)), epoll = epoll_create1(0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) != 0 || listen(listener, 4096) != 0 || epoll < 0) fail("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) fail("epoll_ctl");
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int index = 0; index < ready; index++) {
            int fd = events[index].data.fd;
            if (fd == listener) accept_one(epoll, listener, &origin);
            else pass(fd);
        }
    }
}
