// The layout of the shared memory, for the files of this folder only.
#ifndef SLUICE_LAYOUT_H
#define SLUICE_LAYOUT_H

#include <stdatomic.h>

#include "health.h"
#include "rates.h"
#include "schedules.h"
#include "series.h"
#include "shared.h"

// Each worker's area begins on its own cache line, so that publishing never disturbs a neighbour.
struct worker_area {
    _Alignas(64) _Atomic uint64_t heartbeat_ns;
    _Atomic uint32_t running;
    _Atomic uint64_t sequence;
    _Atomic uint64_t started_ns;
    _Atomic uint64_t deadline_ns;
    _Atomic uint64_t generation;
    _Atomic uint64_t request_high, request_low;
    struct sluice_running_label label;
    _Alignas(64) _Atomic uint64_t words[SLUICE_SHARED_WORDS];
};

struct strike_entry {
    _Atomic uint32_t strikes;
    _Atomic uint32_t fenced;
    uint32_t count;
    char function[SLUICE_FUNCTION_BYTES];
};

// Key and state change together, so a slot always belongs to exactly one key.
struct rate_slot {
    _Alignas(16) unsigned __int128 word;
    // When the state no longer matters; only for choosing whom to evict.
    _Atomic uint64_t expires_ns;
    uint64_t reserved;
};

struct rate_table {
    // Hashes keys; random for each region, so that nobody outside can aim at a bucket.
    uint64_t secret[2];
    _Alignas(64) struct rate_slot buckets[SLUICE_RATE_BUCKETS][SLUICE_RATE_SLOTS];
};

struct tally {
    _Atomic uint64_t rule;
    _Atomic uint64_t counts[SLUICE_TALLY_COUNTS];
};

struct series_entry {
    _Atomic uint64_t key;
    _Atomic uint32_t kind;
    uint32_t length;
    char name[SLUICE_SERIES_NAME];
    _Atomic uint64_t words[SLUICE_SERIES_WORDS];
};

struct health_entry {
    _Atomic uint64_t key;
    _Atomic uint64_t used_ms;
    _Atomic uint64_t claim;
    _Atomic uint64_t verdict;
    _Atomic uint64_t ejected_ms;
};

struct schedule_entry {
    _Atomic uint64_t key;
    // The moment that was run (or left out) last, in seconds since 1970.
    _Atomic uint64_t claimed;
    _Atomic uint64_t busy_until_ns;
};

struct sluice_shared {
    uint32_t magic;
    uint32_t version;
    uint64_t size;
    struct strike_entry strikes[SLUICE_SHARED_STRIKES];
    struct worker_area workers[SLUICE_SHARED_WORKERS];
    struct tally tallies[SLUICE_TALLY_RULES];
    struct rate_table rates;
    struct series_entry series[SLUICE_SERIES_ENTRIES];
    struct health_entry health[SLUICE_HEALTH_ENTRIES];
    struct schedule_entry schedules[SLUICE_SCHEDULE_ENTRIES];
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared memory needs lock-free 64-bit atomics");
_Static_assert(sizeof(struct rate_slot) == 32, "two slots share a cache line");

#endif
