#include "rates.h"

#include <stdbool.h>
#include <string.h>

#include "layout.h"

// MARK: Hashing

static inline uint64_t rotate(uint64_t word, int by) { return word << by | word >> (64 - by); }

struct sip { uint64_t v0, v1, v2, v3; };

static inline void sip_round(struct sip *s) {
    s->v0 += s->v1; s->v1 = rotate(s->v1, 13); s->v1 ^= s->v0; s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3; s->v3 = rotate(s->v3, 16); s->v3 ^= s->v2;
    s->v0 += s->v3; s->v3 = rotate(s->v3, 21); s->v3 ^= s->v0;
    s->v2 += s->v1; s->v1 = rotate(s->v1, 17); s->v1 ^= s->v2; s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word) {
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

// SipHash-1-3 of the limit and the key.
static uint64_t hash(const uint64_t secret[2], const struct sluice_rate_limit *limit, const uint8_t *key, size_t count) {
    struct sip s = {secret[0] ^ 0x736f6d6570736575u, secret[1] ^ 0x646f72616e646f6du,
                    secret[0] ^ 0x6c7967656e657261u, secret[1] ^ 0x7465646279746573u};
    sip_word(&s, limit->rule);
    // A period or a kind that changed with a reload starts anew: its state would be misread.
    sip_word(&s, limit->period_ns << 1 | (limit->burst != 0));
    size_t left = count;
    for (; left >= 8; left -= 8, key += 8) {
        uint64_t word;
        memcpy(&word, key, 8);
        sip_word(&s, word);
    }
    uint64_t last = (uint64_t)count << 56;
    for (size_t i = 0; i < left; i++) last |= (uint64_t)key[i] << (8 * i);
    sip_word(&s, last);
    s.v2 ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

// MARK: Slots

struct pair { uint64_t key, state; };

static inline struct pair look(const struct rate_slot *slot) {
    // Two loads: a pair that changed between them fails the compare-and-swap that follows.
    const uint64_t *halves = (const uint64_t *)(const void *)&slot->word;
    struct pair pair = {__atomic_load_n(&halves[0], __ATOMIC_ACQUIRE), __atomic_load_n(&halves[1], __ATOMIC_ACQUIRE)};
    return pair;
}

static inline bool change(struct rate_slot *slot, struct pair from, struct pair to) {
#if defined(__x86_64__)
    // The compiler would call a library for this, because the first x86-64 processors could not do it.
    bool done;
    __asm__ __volatile__("lock cmpxchg16b %1"
                         : "=@ccz"(done), "+m"(slot->word), "+a"(from.key), "+d"(from.state)
                         : "b"(to.key), "c"(to.state)
                         : "memory");
    return done;
#else
    unsigned __int128 expected, wanted;
    memcpy(&expected, &from, sizeof expected);
    memcpy(&wanted, &to, sizeof wanted);
    return __sync_bool_compare_and_swap(&slot->word, expected, wanted);
#endif
}

// MARK: The two kinds of limits. Each turns an old state into a new one and says what it means.

struct outcome { bool allowed; uint64_t state, expires_ns; };

// Generic cell rate algorithm: the state is the theoretical arrival time, when the bucket is full again.
static struct outcome bucket(const struct sluice_rate_limit *limit, uint64_t state, uint64_t now,
                             struct sluice_rate_verdict *verdict) {
    uint64_t interval = limit->period_ns / limit->count;
    if (interval == 0) interval = 1;
    uint64_t room = interval * limit->burst;
    uint64_t full = state > now ? state : now;
    if (full + interval - now <= room) {
        full += interval;
        verdict->remaining = (uint32_t)((room - (full - now)) / interval);
        verdict->reset_ns = full - now;
        return (struct outcome){true, full, full};
    }
    verdict->retry_ns = full + interval - room - now;
    verdict->reset_ns = full - now;
    return (struct outcome){false, state, full};
}

// Two counters, this window's and the one's before, the latter weighted by how much of it still lies within one period.
// Windows begin with the first request of a key. The state is start (26 bits, in 256ths of a period), before, now (19 each).
enum { TICKS = 256, START_BITS = 26, COUNT_BITS = 19 };
#define START_MASK ((1u << START_BITS) - 1)
#define COUNT_MASK ((1u << COUNT_BITS) - 1)

static uint64_t packed(uint64_t start, uint64_t before, uint64_t current) {
    return (start & START_MASK) << (2 * COUNT_BITS) | before << COUNT_BITS | current;
}

static struct outcome window(const struct sluice_rate_limit *limit, uint64_t state, bool fresh, uint64_t now,
                             struct sluice_rate_verdict *verdict) {
    uint64_t tick = limit->period_ns / TICKS, tick_now = now / tick;
    uint64_t start = state >> (2 * COUNT_BITS), before = state >> COUNT_BITS & COUNT_MASK, current = state & COUNT_MASK;
    uint64_t passed = (tick_now - start) & START_MASK;
    // A neighbour's clock reading may be a moment ahead of ours.
    if (passed > START_MASK / 2) passed = 0;
    if (fresh || passed >= 2 * TICKS) {
        start = tick_now;
        before = current = passed = 0;
    } else if (passed >= TICKS) {
        start += TICKS;
        passed -= TICKS;
        before = current;
        current = 0;
    }
    uint64_t used = before * (TICKS - passed) / TICKS + current;
    verdict->reset_ns = (TICKS - passed) * tick;
    uint64_t expires = now + (2 * TICKS - passed) * tick;
    if (used < limit->count) {
        verdict->remaining = (uint32_t)(limit->count - used - 1);
        return (struct outcome){true, packed(start, before, current + 1), expires};
    }
    // Until enough of the window before has gone, or until this one is the window before.
    uint64_t wait = TICKS - passed + 1;
    if (current < limit->count && before > 0) {
        uint64_t at = TICKS - ((limit->count - current) * TICKS - 1) / before;
        wait = at > passed ? at - passed : 1;
    }
    verdict->retry_ns = wait * tick;
    return (struct outcome){false, state, expires};
}

// MARK: Charging

// The slot of `key`; else the one to take for it: a free one, one that no longer matters, or the one that matters least.
static struct rate_slot *seek(struct rate_slot *slots, uint64_t key, uint64_t now, struct pair *found, bool *evicts) {
    struct rate_slot *victim = NULL;
    struct pair old = {0, 0};
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < SLUICE_RATE_SLOTS; i++) {
        struct pair pair = look(&slots[i]);
        if (pair.key == key) {
            *found = pair;
            return &slots[i];
        }
        uint64_t expires = pair.key ? atomic_load_explicit(&slots[i].expires_ns, memory_order_relaxed) : 0;
        if (expires <= now) expires = 0;
        if (victim && expires >= least) continue;
        victim = &slots[i];
        old = pair;
        least = expires;
    }
    *found = old;
    *evicts = least != 0;
    return victim;
}

void sluice_rates_charge(struct sluice_shared *region, const struct sluice_rate_limit *limit, const uint8_t *key,
                         size_t count, uint64_t now, struct sluice_rate_verdict *verdict) {
    memset(verdict, 0, sizeof *verdict);
    uint64_t hashed = hash(region->rates.secret, limit, key, count);
    struct rate_slot *slots = region->rates.buckets[hashed % SLUICE_RATE_BUCKETS];
    // 0 is a free slot.
    if (hashed == 0) hashed = 1;
    // Each failure is another worker's success. A bound all the same: no client may hold a worker here.
    for (int attempt = 0; attempt < 1000; attempt++) {
        struct pair old;
        bool evicts = false;
        struct rate_slot *slot = seek(slots, hashed, now, &old, &evicts);
        bool known = old.key == hashed;
        uint64_t expires = atomic_load_explicit(&slot->expires_ns, memory_order_relaxed);
        struct outcome outcome = limit->burst ? bucket(limit, known ? old.state : 0, now, verdict)
                                              : window(limit, old.state, !known || expires < now, now, verdict);
        if (!outcome.allowed) return;
        if (!change(slot, old, (struct pair){hashed, outcome.state})) continue;
        atomic_store_explicit(&slot->expires_ns, outcome.expires_ns, memory_order_relaxed);
        verdict->allowed = 1;
        verdict->evicted = evicts;
        return;
    }
    verdict->allowed = 1;
}

// MARK: Counters of rules

enum { PROBES = 256 };

static int32_t probe(struct sluice_shared *region, uint64_t rule, bool take) {
    for (uint32_t step = 0; step < PROBES; step++) {
        uint32_t index = (uint32_t)(rule + step) % SLUICE_TALLY_RULES;
        _Atomic uint64_t *place = &region->tallies[index].rule;
        uint64_t owner = atomic_load_explicit(place, memory_order_relaxed);
        if (owner == rule) return (int32_t)index;
        if (owner != 0) continue;
        if (!take) return -1;
        if (atomic_compare_exchange_strong(place, &owner, rule) || owner == rule) return (int32_t)index;
    }
    return -1;
}

int32_t sluice_tally_slot(struct sluice_shared *region, uint64_t rule) { return probe(region, rule, true); }
int32_t sluice_tally_find(struct sluice_shared *region, uint64_t rule) { return probe(region, rule, false); }

void sluice_tally_add(struct sluice_shared *region, int32_t slot, uint32_t which, uint64_t amount) {
    if (slot < 0 || slot >= SLUICE_TALLY_RULES || which >= SLUICE_TALLY_COUNTS) return;
    atomic_fetch_add_explicit(&region->tallies[slot].counts[which], amount, memory_order_relaxed);
}

uint64_t sluice_tally_read(struct sluice_shared *region, int32_t slot, uint32_t which) {
    if (slot < 0 || slot >= SLUICE_TALLY_RULES || which >= SLUICE_TALLY_COUNTS) return 0;
    return atomic_load_explicit(&region->tallies[slot].counts[which], memory_order_relaxed);
}
