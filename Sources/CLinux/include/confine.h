// Taking a process's rights away for good. No policy lives here beyond the list of system calls a cordon needs.
#ifndef SLUICE_CONFINE_H
#define SLUICE_CONFINE_H

#include <stdint.h>

// Each answers 0 or a negative errno.
// Landlock with nothing allowed: no file, no TCP, no signal or abstract socket beyond this process. -ENOSYS and
// -EOPNOTSUPP where the kernel has none.
int sluice_landlock_everything(void);
// System calls from now on: those that JavaScript, the loop and inherited descriptors need. Files answer EACCES;
// whatever makes sockets or processes or looks into others ends the process (SIGSYS). All threads are held.
// `threads`: more of them may be made, still no process.
int sluice_seccomp_cordon(int threads);

struct sluice_cordon_limits {
    uint64_t address_space, data, cpu_seconds, descriptors;
};
// Hard limits; cores are off. A build with a sanitizer (`sluice_is_sanitized`, tests only) has none of memory.
int sluice_limit_cordon(const struct sluice_cordon_limits *limits);
// Whether the program was built with AddressSanitizer or ThreadSanitizer, whose shadow memory is terabytes of addresses.
int sluice_is_sanitized(void);
// Tells ThreadSanitizer who has a lock that it does not see; nothing in any other build.
void sluice_lock_taken(const void *lock);
void sluice_lock_given(const void *lock);

#endif
