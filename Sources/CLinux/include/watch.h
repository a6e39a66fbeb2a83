// Changes of files as something to read (inotify).
#ifndef SLUICE_WATCH_H
#define SLUICE_WATCH_H

#include <stddef.h>
#include <stdint.h>

enum { SLUICE_WATCH_NAME = 256 };

struct sluice_watch_event {
    int watch;                       // as sluice_watch_add answered; -1: events were lost
    char name[SLUICE_WATCH_NAME];    // of the file within the folder, zero-terminated
};

// A non-blocking descriptor, or a negative errno.
int sluice_watch_open(void);
// Watches a folder for files that are written, created, moved or deleted in it: a number, or a negative errno.
int sluice_watch_add(int fd, const char *folder);
void sluice_watch_remove(int fd, int watch);
// Reads what happened, at most `capacity` events (at least 32): how many, 0 for nothing, or a negative errno.
int sluice_watch_read(int fd, struct sluice_watch_event *events, int capacity);

#endif
