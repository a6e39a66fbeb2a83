#define _GNU_SOURCE
#include "local.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
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
