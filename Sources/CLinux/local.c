#define _GNU_SOURCE
#include "local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int to_address(const char *path, struct sockaddr_un *address) {
    size_t length = strlen(path);
    if (length == 0) return -EINVAL;
    if (length >= sizeof address->sun_path) return -ENAMETOOLONG;
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length + 1);
    return 0;
}

static int bind_privately(int fd, const struct sockaddr_un *address) {
    // The file must never be open to others, not even for a moment.
    mode_t before = umask(0177);
    int result = bind(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? -errno : 0;
    umask(before);
    return result;
}

int sluice_connect_local(const char *path) {
    struct sockaddr_un address;
    int error = to_address(path, &address);
    if (error) return error;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

// Removes a socket file that is left over. Anything else at the path stays.
static int remove_leftover(const char *path) {
    struct stat status;
    if (lstat(path, &status) < 0) return -errno;
    if (!S_ISSOCK(status.st_mode)) return -EADDRINUSE;
    int probe = sluice_connect_local(path);
    if (probe >= 0) {
        close(probe);
        return -EADDRINUSE;
    }
    if (probe != -ECONNREFUSED) return -EADDRINUSE;
    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int sluice_listen_local(const char *path, int backlog) {
    struct sockaddr_un address;
    int error = to_address(path, &address);
    if (error) return error;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    error = bind_privately(fd, &address);
    if (error == -EADDRINUSE) {
        error = remove_leftover(path);
        if (!error) error = bind_privately(fd, &address);
    }
    if (!error && listen(fd, backlog) < 0) error = -errno;
    if (error) {
        close(fd);
        return error;
    }
    return fd;
}

int sluice_local_peer(int fd, uid_t *user, pid_t *process) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return -errno;
    *user = peer.uid;
    *process = peer.pid;
    return 0;
}

int sluice_private_folder(const char *path) {
    if (mkdir(path, 0700) == 0) return 0;
    if (errno != EEXIST) return -errno;
    struct stat status;
    if (lstat(path, &status) < 0) return -errno;
    if (!S_ISDIR(status.st_mode)) return -ENOTDIR;
    return status.st_uid == geteuid() && (status.st_mode & 022) == 0 ? 0 : -EPERM;
}

static int is_ours(const struct stat *status) { return status->st_uid == geteuid() && (status->st_mode & 022) == 0; }

static int open_private_folder(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return -errno;
    struct stat status;
    if (fstat(fd, &status) == 0 && is_ours(&status)) return fd;
    close(fd);
    return -EPERM;
}

static int read_all(int fd, uint8_t *bytes, size_t count) {
    for (size_t done = 0; done < count;) {
        ssize_t got = read(fd, bytes + done, count - done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got < 0 ? -errno : -EIO;
        done += (size_t)got;
    }
    return 0;
}

static int write_all(int fd, const uint8_t *bytes, size_t count) {
    for (size_t done = 0; done < count;) {
        ssize_t put = write(fd, bytes + done, count - done);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return -errno;
        done += (size_t)put;
    }
    return 0;
}

static int take_private(int fd, size_t limit, uint8_t **bytes, size_t *count) {
    struct stat status;
    if (fstat(fd, &status) < 0) return -errno;
    if (!S_ISREG(status.st_mode) || !is_ours(&status)) return -EPERM;
    if (status.st_size < 0 || (uint64_t)status.st_size > limit) return -EFBIG;
    *count = (size_t)status.st_size;
    *bytes = malloc(*count ? *count : 1);
    if (!*bytes) return -ENOMEM;
    int result = read_all(fd, *bytes, *count);
    if (result < 0) {
        free(*bytes);
        *bytes = NULL;
    }
    return result;
}

int sluice_read_private(const char *folder, const char *name, size_t limit, uint8_t **bytes, size_t *count) {
    *bytes = NULL;
    *count = 0;
    int within = open_private_folder(folder);
    if (within < 0) return within;
    int fd = openat(within, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    int result = fd < 0 ? -errno : take_private(fd, limit, bytes, count);
    if (fd >= 0) close(fd);
    close(within);
    return result;
}

int sluice_write_private(const char *folder, const char *name, const uint8_t *bytes, size_t count) {
    int within = open_private_folder(folder);
    if (within < 0) return within;
    char temporary[256];
    snprintf(temporary, sizeof temporary, ".%.200s-%ld", name, (long)getpid());
    int fd = openat(within, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int result = fd < 0 ? -errno : write_all(fd, bytes, count);
    if (fd >= 0) close(fd);
    if (result == 0 && renameat(within, temporary, within, name) < 0) result = -errno;
    if (result < 0 && fd >= 0) unlinkat(within, temporary, 0);
    close(within);
    return result;
}

void sluice_free_bytes(uint8_t *bytes) { free(bytes); }

ssize_t sluice_folder_entries(const char *path, char *names, size_t capacity) {
    DIR *folder = opendir(path);
    if (!folder) return -errno;
    size_t used = 0;
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        size_t length = strlen(entry->d_name) + 1;
        if (used + length > capacity) break;
        memcpy(names + used, entry->d_name, length);
        used += length;
    }
    closedir(folder);
    return (ssize_t)used;
}

int sluice_remove_file(const char *path) { return unlink(path) < 0 ? -errno : 0; }

int sluice_resolved_path(const char *path, char *resolved) { return realpath(path, resolved) ? 0 : -errno; }

uid_t sluice_user(void) { return geteuid(); }
