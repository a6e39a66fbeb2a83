#include "schedules.h"

#include <stddef.h>

#include "layout.h"

// The key's entry, made when it is not there; NULL when all are in use.
static struct schedule_entry *entry_of(struct sluice_shared *region, uint64_t key) {
    for (size_t i = 0; i < SLUICE_SCHEDULE_ENTRIES; i++) {
        struct schedule_entry *entry = &region->schedules[(key + i) % SLUICE_SCHEDULE_ENTRIES];
        uint64_t found = atomic_load(&entry->key);
        if (found == 0 && atomic_compare_exchange_strong(&entry->key, &found, key)) return entry;
        if (found == key) return entry;
    }
    return NULL;
}

int sluice_schedule_claim(struct sluice_shared *region, uint64_t key, uint64_t moment, uint64_t now_ns, uint64_t until_ns,
                          int overlap) {
    struct schedule_entry *entry = entry_of(region, key);
    if (!entry) return SLUICE_SCHEDULE_NO_ROOM;
    uint64_t claimed = atomic_load(&entry->claimed);
    do {
        if (claimed >= moment) return SLUICE_SCHEDULE_TAKEN;
    } while (!atomic_compare_exchange_weak(&entry->claimed, &claimed, moment));
    if (!overlap && atomic_load(&entry->busy_until_ns) > now_ns) return SLUICE_SCHEDULE_RUNNING;
    atomic_store(&entry->busy_until_ns, until_ns);
    return SLUICE_SCHEDULE_RUN;
}

void sluice_schedule_finish(struct sluice_shared *region, uint64_t key, uint64_t until_ns) {
    struct schedule_entry *entry = entry_of(region, key);
    if (entry) atomic_compare_exchange_strong(&entry->busy_until_ns, &until_ns, 0);
}
