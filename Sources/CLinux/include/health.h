// What workers know of origin servers, in the memory that they share: one of them asks a server, all of them know.
//
// Every change is one atomic store or one compare-and-swap, so a worker that dies at any instruction leaves nothing half-done;
// the right to ask that it held ends by itself.
#ifndef SLUICE_HEALTH_H
#define SLUICE_HEALTH_H

#include <stdint.h>

#include "shared.h"

// 40 bytes each.
#define SLUICE_HEALTH_ENTRIES 8192
// An entry that nobody used for so long may be another server's.
#define SLUICE_HEALTH_IDLE_MS 600000u

enum { SLUICE_HEALTH_UNKNOWN = 0, SLUICE_HEALTH_UP = 1, SLUICE_HEALTH_DOWN = 2 };

// The entry of a server, found or taken; -1 when there is no room near its place. `key` stands for the server and for how it is
// asked. Times are milliseconds of CLOCK_MONOTONIC.
int32_t sluice_health_slot(struct sluice_shared *region, uint64_t key, uint64_t now_ms);
// 1: this worker is the one that asks, until `until_ms`. 0: another one does.
int sluice_health_claim(struct sluice_shared *region, int32_t slot, uint64_t key, uint32_t worker, uint64_t now_ms,
                        uint64_t until_ms);
// What the one that asks found: `SLUICE_HEALTH_UP` or `_DOWN`. Nothing when the right has gone to another worker.
void sluice_health_tell(struct sluice_shared *region, int32_t slot, uint64_t key, uint32_t worker, uint32_t verdict);
uint32_t sluice_health_verdict(struct sluice_shared *region, int32_t slot, uint64_t key, uint64_t now_ms);
// A server that failed requests is left out until then; only ever later.
void sluice_health_eject(struct sluice_shared *region, int32_t slot, uint64_t key, uint64_t until_ms);
uint64_t sluice_health_ejected(struct sluice_shared *region, int32_t slot, uint64_t key);

#endif
