// Processes, signals, descriptors that travel between processes.
// Every function returns 0 (or a descriptor, pid, count) or a negative errno; none touches `errno`
// for its caller. No policy lives here.
#ifndef SLUICE_PROCESS_H
#define SLUICE_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Names of an errno value, never NULL: "EADDRINUSE" and "Address already in use".
const char *sluice_errno_name(int error);
const char *sluice_errno_text(int error);

// Spawns `path`. Descriptor `from[i]` becomes `to[i]` in the child (0, 1 and 2 not in `to` become
// /dev/null or stay, see `keep_stdio`); everything else is closed. `blocked` is the child's signal
// mask, all dispositions are reset. Returns the pid.
pid_t sluice_spawn(const char *path, char *const argv[], char *const envp[], const int *from, const int *to,
                   int count, int keep_stdio, const int *blocked, int blocked_count);

int sluice_pidfd_open(pid_t pid);
int sluice_pidfd_signal(int pidfd, int signal);
// Reaps `pid` without waiting. 0: still running. 1: ended, `*code` is the exit status or the signal
// and `*by_signal` tells which.
int sluice_reap(pid_t pid, int *code, int *by_signal);

// Orphans below this process become its children, as they do for process 1.
int sluice_adopt_orphans(void);
// The child whose environment has the entry "NAME=value"; 0 when there is none.
pid_t sluice_child_with(const char *entry);
// Reaps any child that has ended, except `kept`. Its pid, or 0 when none has.
pid_t sluice_reap_others(pid_t kept);
int sluice_die_with_parent(void);      // SIGKILL when the parent ends
int sluice_no_new_privileges(void);
int sluice_no_core_dumps(void);
int sluice_raise_descriptor_limit(uint64_t *limit);  // soft limit to the hard limit
pid_t sluice_self(void);
pid_t sluice_parent(void);
const char *sluice_environment(const char *name);  // NULL when not set
char *const *sluice_all_environment(void);
int sluice_cpu_count(void);            // CPUs this process may run on

// Blocks the signals for this thread (and threads made later) and returns a signalfd for them.
int sluice_signal_descriptor(const int *signals, int count);
// Signal number read, 0 when none waits, or negative errno.
int sluice_signal_read(int fd);
int sluice_ignore_signal(int signal);
int sluice_block_signals(const int *signals, int count);

// A close-on-exec SOCK_SEQPACKET pair.
int sluice_control_pair(int pair[2]);
int sluice_set_nonblocking(int fd, int on);
// Sends one packet with at most one descriptor (-1: none). Never raises SIGPIPE.
int sluice_control_send(int fd, const void *bytes, size_t count, int descriptor);
// Receives one packet. 0 means the peer has gone. `*descriptor` is -1 or a new close-on-exec
// descriptor. -EMSGSIZE when the packet was larger than `capacity`.
ssize_t sluice_control_receive(int fd, void *bytes, size_t capacity, int *descriptor);

// A memfd that holds `bytes` and can never change again.
int sluice_sealed_memory(const char *name, const void *bytes, size_t count);
// 1 when `fd` is a memfd that is sealed against writing, growing and shrinking.
int sluice_is_sealed(int fd);
int64_t sluice_file_size(int fd);
ssize_t sluice_read_at(int fd, void *bytes, size_t count, int64_t offset);
// Writes without waiting and without SIGPIPE.
ssize_t sluice_write_some(int fd, const void *bytes, size_t count);
// Opens for appending, never waits (O_NONBLOCK, O_NOCTTY), close-on-exec.
int sluice_open_append(const char *path);
// A new open file description of the same file, so that O_NONBLOCK is not shared. -ENXIO for sockets.
int sluice_reopen_for_writing(int fd);
// 'f' regular file, 'p' pipe, 's' socket, 't' terminal, 'o' other.
int sluice_kind(int fd);
int sluice_duplicate(int fd);
// Wall clock as "2026-01-31T12:34:56.789Z" (24 characters and a NUL).
void sluice_utc_timestamp(char out[25]);

// sd_notify: sends `state` to the datagram socket `path` ("@" means abstract).
int sluice_notify(const char *path, const char *state);

#endif
