// Counters of named things (sites, functions, upstreams, servers) in the memory that all workers share. An entry says itself
// what it counts, so it outlives workers and configurations, and the supervisor can list what there is.
#ifndef SLUICE_SERIES_H
#define SLUICE_SERIES_H

#include <stddef.h>
#include <stdint.h>

#include "shared.h"

// 1 KiB each, touched only where something is counted.
#define SLUICE_SERIES_ENTRIES 4096
#define SLUICE_SERIES_WORDS 112
#define SLUICE_SERIES_NAME 104

// The entry of a thing, found or taken; -1 when the table is full. `kind` is not 0; a long name is cut.
int32_t sluice_series_slot(struct sluice_shared *region, uint32_t kind, const char *name, size_t length);
void sluice_series_add(struct sluice_shared *region, int32_t slot, const uint64_t *words, uint32_t count);
// Reads entry `slot`: its kind (0 when it is free), its name with a NUL, its words.
uint32_t sluice_series_read(struct sluice_shared *region, int32_t slot, char name[SLUICE_SERIES_NAME + 1], uint64_t *words,
                            uint32_t count);

#endif
