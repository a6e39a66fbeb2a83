#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"

int sluice_adopt_orphans(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? -errno : 0; }

static int has_entry(pid_t pid, const char *entry) {
    char path[48], text[65536];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    size_t used = 0;
    for (ssize_t count; used < sizeof text - 1 && (count = read(fd, text + used, sizeof text - 1 - used)) > 0;) used += (size_t)count;
    close(fd);
    text[used] = 0;
    for (size_t at = 0; at < used; at += strlen(text + at) + 1)
        if (strcmp(text + at, entry) == 0) return 1;
    return 0;
}

pid_t sluice_child_with(const char *entry) {
    char path[48], text[8192];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t count = read(fd, text, sizeof text - 1);
    close(fd);
    text[count > 0 ? count : 0] = 0;
    for (char *next = text; *next;) {
        pid_t pid = (pid_t)strtol(next, &next, 10);
        if (pid <= 0) break;
        if (has_entry(pid, entry)) return pid;
        while (*next == ' ') next++;
    }
    return 0;
}

pid_t sluice_reap_others(pid_t kept) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    // Looked at first, so that the one that somebody waits for stays.
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0 || info.si_pid == kept) return 0;
    return waitpid(info.si_pid, NULL, WNOHANG);
}
