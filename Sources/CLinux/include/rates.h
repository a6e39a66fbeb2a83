// Rate-limit counters in the memory that all workers share, and counters of rules by their stable id.
//
// Both tables are of fixed size and hold no pointers. Every change is one compare-and-swap or one addition, so a
// worker that dies at any instruction leaves nothing half-done, and what it counted stays.
#ifndef SLUICE_RATES_H
#define SLUICE_RATES_H

#include <stddef.h>
#include <stdint.h>

#include "shared.h"

#ifdef __cplusplus
extern "C" {
#endif

// Buckets of 8 slots of 32 bytes: 4 MiB, touched only where keys fall.
#define SLUICE_RATE_BUCKETS 16384
#define SLUICE_RATE_SLOTS 8
// The most requests per period: what the packed window counts can hold.
#define SLUICE_RATE_COUNT_LIMIT 500000u
// Rules that are counted; 32 bytes each.
#define SLUICE_TALLY_RULES 65536
enum { SLUICE_TALLY_COUNTS = 3 };

struct sluice_rate_limit {
    uint64_t rule;       // stands for the rule: its keys are its own
    uint64_t period_ns;  // at least 1 s
    uint32_t count;      // 1 to SLUICE_RATE_COUNT_LIMIT per period
    // 0: a sliding window, at most `count` in any period. Else a token bucket (GCRA) that holds `burst`
    // tokens and gets `count` per period.
    uint32_t burst;
};

struct sluice_rate_verdict {
    uint32_t allowed;
    uint32_t remaining;  // that could pass now
    uint32_t evicted;    // 1: another key that still counted lost its place
    uint32_t reserved;
    uint64_t retry_ns;   // until the next could pass; 0 when allowed
    uint64_t reset_ns;   // until the window ends or the bucket is full
};

// Counts one request of `key` at `now_ns` (CLOCK_MONOTONIC) if the limit lets it pass.
void sluice_rates_charge(struct sluice_shared *region, const struct sluice_rate_limit *limit, const uint8_t *key,
                         size_t count, uint64_t now_ns, struct sluice_rate_verdict *verdict);

// The place of a rule's counters, found or taken; -1 when the table is full. `rule` is not 0.
int32_t sluice_tally_slot(struct sluice_shared *region, uint64_t rule);
// The same without taking one.
int32_t sluice_tally_find(struct sluice_shared *region, uint64_t rule);
void sluice_tally_add(struct sluice_shared *region, int32_t slot, uint32_t which, uint64_t amount);
uint64_t sluice_tally_read(struct sluice_shared *region, int32_t slot, uint32_t which);

#ifdef __cplusplus
}
#endif
#endif
