// Who runs a schedule: of all workers exactly one for each moment. Entries are by key (a hash of what runs and when) and
// stay for the life of the shared memory.
#ifndef SLUICE_SCHEDULES_H
#define SLUICE_SCHEDULES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sluice_shared;

enum { SLUICE_SCHEDULE_ENTRIES = 256 };
enum sluice_schedule_verdict {
    SLUICE_SCHEDULE_RUN = 1,
    SLUICE_SCHEDULE_TAKEN = 0,      // another worker has this moment, or a later one
    SLUICE_SCHEDULE_RUNNING = -1,   // the moment is ours, but the run before it goes on
    SLUICE_SCHEDULE_NO_ROOM = -2,
};

// Claims a moment (seconds since 1970). A run holds the schedule until it is finished or `until_ns` (monotonic) has
// passed: a worker that dies in it blocks nobody for longer. `overlap`: runs may overlap.
int sluice_schedule_claim(struct sluice_shared *region, uint64_t key, uint64_t moment, uint64_t now_ns, uint64_t until_ns,
                          int overlap);
// The run that claimed with this `until_ns` is over.
void sluice_schedule_finish(struct sluice_shared *region, uint64_t key, uint64_t until_ns);

#ifdef __cplusplus
}
#endif
#endif
