#ifndef SLUICE_LOCAL_H
#define SLUICE_LOCAL_H

#include <stdint.h>
#include <sys/types.h>

// Opens a non-blocking, close-on-exec stream socket on a path that only this user may connect to. A socket file that
// nobody listens on any more is taken over; -EADDRINUSE when somebody does.
int sluice_listen_local(const char *path, int backlog);
// Connects; -ECONNREFUSED or -ENOENT when nobody listens. The socket is non-blocking and close-on-exec.
int sluice_connect_local(const char *path);
// Who is at the other end of a connected local socket.
int sluice_local_peer(int fd, uid_t *user, pid_t *process);
// Makes a folder that only this user may enter, or checks that an existing one is such a folder (-EPERM otherwise).
int sluice_private_folder(const char *path);
// Reads a file whole that this user owns and nobody else can write, in a folder of which the same is true. `*bytes` is
// malloc'ed. -EPERM when others could have written it, -EFBIG beyond `limit`.
int sluice_read_private(const char *folder, const char *name, size_t limit, uint8_t **bytes, size_t *count);
// Puts a file in place of the one of that name, in one step, readable by this user only.
int sluice_write_private(const char *folder, const char *name, const uint8_t *bytes, size_t count);
void sluice_free_bytes(uint8_t *bytes);
// Names of the entries of a folder, separated by NUL, in `names`. Returns the bytes written.
ssize_t sluice_folder_entries(const char *path, char *names, size_t capacity);
int sluice_remove_file(const char *path);
// The absolute path without links, in `resolved` (4096 bytes).
int sluice_resolved_path(const char *path, char *resolved);
uid_t sluice_user(void);

#endif
