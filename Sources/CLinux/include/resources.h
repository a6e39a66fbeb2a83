// What this process uses of the machine, and what it may use.
#ifndef SLUICE_RESOURCES_H
#define SLUICE_RESOURCES_H

#include <stdint.h>

// A descriptor to read this process's memory from, or a negative errno.
int sluice_statm_open(void);
// Resident bytes, or a negative errno.
int64_t sluice_statm_resident(int statm);
// Bytes of memory that the machine or the process's control group has.
int64_t sluice_memory_total(void);
// How many descriptors may be open.
int64_t sluice_descriptor_limit(void);
// A descriptor that is good for nothing but to be closed when one is needed, or a negative errno.
int sluice_spare_descriptor(void);
// Gives memory that is free in the allocator back to the system.
void sluice_memory_trim(void);

// Nanoseconds that the first thread of a process has spent on a processor; 0 when that cannot be known.
uint64_t sluice_first_thread_cpu(int pid);

#endif
