#include "resources.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

int sluice_statm_open(void) {
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int64_t sluice_statm_resident(int statm) {
    char text[128];
    ssize_t count = pread(statm, text, sizeof text - 1, 0);
    if (count <= 0) return count < 0 ? -errno : -EIO;
    text[count] = 0;
    char *next = strchr(text, ' ');
    if (!next) return -EIO;
    int64_t resident = strtoll(next, &next, 10), shared = strtoll(next, NULL, 10);
    // Pages of mapped files (programs, libraries, key-value namespaces) are the kernel's to take back.
    return (resident - shared) * sysconf(_SC_PAGESIZE);
}

// The number in a file of one line, or the largest.
static int64_t number_in(const char *path) {
    char text[64] = "";
    FILE *file = fopen(path, "re");
    if (file == NULL) return INT64_MAX;
    char *line = fgets(text, sizeof text, file);
    fclose(file);
    if (line == NULL || *line < '0' || *line > '9') return INT64_MAX;
    return strtoll(line, NULL, 10);
}

int64_t sluice_memory_total(void) {
    int64_t machine = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    int64_t group = number_in("/sys/fs/cgroup/memory.max");
    return group < machine ? group : machine;
}

int64_t sluice_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) return INT64_MAX;
    return (int64_t)limit.rlim_cur;
}

int sluice_spare_descriptor(void) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

void sluice_memory_trim(void) { malloc_trim(0); }

uint64_t sluice_first_thread_cpu(int pid) {
    char path[64], text[128];
    snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", pid, pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t count = read(fd, text, sizeof text - 1);
    close(fd);
    if (count <= 0) return 0;
    text[count] = 0;
    return strtoull(text, NULL, 10);
}
