#define _GNU_SOURCE
#include "watch.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

int sluice_watch_open(void) {
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int sluice_watch_add(int fd, const char *folder) {
    uint32_t mask = IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR;
    int watch = inotify_add_watch(fd, folder, mask);
    return watch < 0 ? -errno : watch;
}

void sluice_watch_remove(int fd, int watch) { inotify_rm_watch(fd, watch); }

int sluice_watch_read(int fd, struct sluice_watch_event *events, int capacity) {
    // The smallest event has 16 bytes, so what one read brings never exceeds 32 events' worth of `buffer`.
    _Alignas(struct inotify_event) char buffer[512];
    ssize_t length = read(fd, buffer, sizeof buffer);
    if (length < 0) return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    int count = 0;
    for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= length && count < capacity;) {
        const struct inotify_event *event = (const struct inotify_event *)(const void *)(buffer + at);
        struct sluice_watch_event *out = &events[count++];
        out->watch = event->mask & IN_Q_OVERFLOW ? -1 : event->wd;
        out->name[0] = 0;
        if (event->len > 0) {
            strncpy(out->name, event->name, SLUICE_WATCH_NAME - 1);
            out->name[SLUICE_WATCH_NAME - 1] = 0;
        }
        at += (ssize_t)sizeof(struct inotify_event) + event->len;
    }
    return count;
}
