// The memory that the supervisor and its workers share: one memfd, mapped by all, laid out by
// `struct sluice_shared`. Plain data and C11 atomics, no locks, so a process that dies at any
// instruction leaves nothing behind that could stop another.
//
// Who writes what
//   supervisor: header, strikes; resets a worker's area before it starts that worker
//   worker i:   workers[i]; rate-limit counters, counters of rules and what is known of servers together with all
//               others (rates.h, series.h, health.h)
// Who reads what
//   supervisor: everything, at any time. Numbers are read atomically. The texts of a running slot
//               are read only when the slot says `running` with an old deadline or when the worker
//               is dead, and are cut at their length: a torn text can mislead a log line, not more.
#ifndef SLUICE_SHARED_H
#define SLUICE_SHARED_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_SHARED_MAGIC 0x65636975u
// Raise it whenever the layout, or the meaning of a word of tallies or series, changes: an upgrade between two versions keeps
// the memory only when both have the same.
#define SLUICE_SHARED_VERSION 11u
// Twice as many as workers: during an upgrade those of both versions run.
#define SLUICE_SHARED_WORKERS 256
#define SLUICE_SHARED_WORDS 384
#define SLUICE_SHARED_STRIKES 64

enum { SLUICE_FUNCTION_BYTES = 96, SLUICE_RULE_BYTES = 96, SLUICE_PLACE_BYTES = 160 };

// Texts of a hook call. Made once when a configuration is loaded, copied into the slot as a block.
struct sluice_running_label {
    uint32_t identity;                       // changes with every label made; 0 is "none"
    uint16_t function_count, rule_count, place_count, reserved;
    char function[SLUICE_FUNCTION_BYTES];    // function name
    char rule[SLUICE_RULE_BYTES];            // rule name
    char place[SLUICE_PLACE_BYTES];          // file:line of the rule
};

// What a reader gets: a copy of the slot.
struct sluice_running {
    uint32_t running;                        // 1: inside a hook call
    uint64_t sequence;                       // counts calls; the same number is the same call
    uint64_t started_ns;                     // CLOCK_MONOTONIC
    uint64_t deadline_ns;                    // when the worker's own watchdog must have stopped it
    uint64_t generation;                     // configuration the rule came from
    struct sluice_running_label label;
    uint64_t request_high, request_low;      // request id; both 0: none
};

struct sluice_shared;                        // the layout is in layout.h

// Creates a zeroed region as a memfd (size fixed by seals) and writes its header.
int sluice_shared_create(void);
// Maps a region. NULL and `*error` (negative errno) when it is not one of this version.
struct sluice_shared *sluice_shared_map(int fd, int *error);
void sluice_shared_unmap(struct sluice_shared *region);
size_t sluice_shared_size(void);

// Worker side: `worker` must be below SLUICE_SHARED_WORKERS.
void sluice_shared_publish(struct sluice_shared *region, uint32_t worker, const uint64_t *words, uint32_t count);
void sluice_shared_beat(struct sluice_shared *region, uint32_t worker, uint64_t now_ns);
void sluice_running_enter(struct sluice_shared *region, uint32_t worker, const struct sluice_running_label *label,
                          uint64_t request_high, uint64_t request_low, uint64_t started_ns, uint64_t deadline_ns,
                          uint64_t generation);
void sluice_running_leave(struct sluice_shared *region, uint32_t worker);

// Supervisor side.
void sluice_shared_reset(struct sluice_shared *region, uint32_t worker);
void sluice_shared_words(struct sluice_shared *region, uint32_t worker, uint64_t *words, uint32_t count);
uint64_t sluice_shared_heartbeat(struct sluice_shared *region, uint32_t worker);
// Cheap look: the deadline of the call that runs now, 0 when none runs.
uint64_t sluice_running_deadline(struct sluice_shared *region, uint32_t worker);
void sluice_running_copy(struct sluice_shared *region, uint32_t worker, struct sluice_running *out);

// Strikes by function, written by the supervisor only; read for display and by workers.
void sluice_strikes_set(struct sluice_shared *region, uint32_t index, const char *function, uint32_t count,
                        uint32_t strikes, uint32_t fenced);
// Strikes at `index`, 0 when the entry is unused; copies at most `capacity` bytes of the name.
uint32_t sluice_strikes_get(struct sluice_shared *region, uint32_t index, char *function, uint32_t capacity,
                            uint32_t *count, uint32_t *fenced);

#ifdef __cplusplus
}
#endif
#endif
