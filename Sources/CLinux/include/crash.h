// What a process that crashes leaves behind.
#ifndef SLUICE_CRASH_H
#define SLUICE_CRASH_H

#include <stddef.h>
#include <stdint.h>

// Memory in which a process writes how it crashed, for the process that has the other descriptor.
int sluice_crash_memory(void);
// From now on a deadly signal writes signal, address and backtrace to `fd` before it ends the process.
int sluice_crash_install(int fd);
// Makes a file that only this user may read; -EEXIST when it is there. A file that cannot be completed is removed.
int sluice_write_private_file(const char *path, const void *bytes, size_t count);

#endif
