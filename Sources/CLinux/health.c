#include "health.h"

#include "layout.h"

// A claim is the time it ends, with the worker's number plus one in the low 16 bits.
static uint64_t claim_of(uint32_t worker, uint64_t until_ms) { return until_ms << 16 | ((worker + 1) & 0xffff); }
static int is_claim_of(uint64_t claim, uint32_t worker) { return (claim & 0xffff) == ((worker + 1) & 0xffff); }

// The entry while it is still this server's; it is in use then.
static struct health_entry *entry_of(struct sluice_shared *region, int32_t slot, uint64_t key) {
    if (slot < 0 || slot >= SLUICE_HEALTH_ENTRIES) return NULL;
    struct health_entry *entry = &region->health[slot];
    return atomic_load_explicit(&entry->key, memory_order_acquire) == key ? entry : NULL;
}

static void touch(struct health_entry *entry, uint64_t now_ms) {
    // Seldom: workers that look ten times a second shall not fight for the cache line.
    if (atomic_load_explicit(&entry->used_ms, memory_order_relaxed) + 10000 < now_ms)
        atomic_store_explicit(&entry->used_ms, now_ms, memory_order_relaxed);
}

static int is_free(struct health_entry *entry, uint64_t owner, uint64_t now_ms) {
    return owner == 0 || atomic_load_explicit(&entry->used_ms, memory_order_relaxed) + SLUICE_HEALTH_IDLE_MS < now_ms;
}

int32_t sluice_health_slot(struct sluice_shared *region, uint64_t key, uint64_t now_ms) {
    for (int pass = 0; pass < 2; pass++) {
        // First whether it has one, then where it may have one.
        for (uint32_t step = 0; step < 64; step++) {
            int32_t index = (int32_t)((key + step) % SLUICE_HEALTH_ENTRIES);
            struct health_entry *entry = &region->health[index];
            uint64_t owner = atomic_load_explicit(&entry->key, memory_order_acquire);
            if (owner == key) {
                touch(entry, now_ms);
                return index;
            }
            if (pass == 0 || !is_free(entry, owner, now_ms)) continue;
            // In use before it is ours, or a third worker could take it again at once.
            atomic_store_explicit(&entry->used_ms, now_ms, memory_order_relaxed);
            if (!atomic_compare_exchange_strong(&entry->key, &owner, key)) {
                if (owner == key) return index;
                continue;
            }
            if (owner != 0) {
                atomic_store_explicit(&entry->claim, 0, memory_order_relaxed);
                atomic_store_explicit(&entry->verdict, SLUICE_HEALTH_UNKNOWN, memory_order_relaxed);
                atomic_store_explicit(&entry->ejected_ms, 0, memory_order_relaxed);
            }
            return index;
        }
    }
    return -1;
}

int sluice_health_claim(struct sluice_shared *region, int32_t slot, uint64_t key, uint32_t worker, uint64_t now_ms,
                        uint64_t until_ms) {
    struct health_entry *entry = entry_of(region, slot, key);
    // Without an entry each worker asks for itself.
    if (!entry) return 1;
    touch(entry, now_ms);
    uint64_t claim = atomic_load_explicit(&entry->claim, memory_order_relaxed);
    if (!is_claim_of(claim, worker) && claim >> 16 >= now_ms) return 0;
    return atomic_compare_exchange_strong(&entry->claim, &claim, claim_of(worker, until_ms));
}

void sluice_health_tell(struct sluice_shared *region, int32_t slot, uint64_t key, uint32_t worker, uint32_t verdict) {
    struct health_entry *entry = entry_of(region, slot, key);
    if (entry && is_claim_of(atomic_load_explicit(&entry->claim, memory_order_relaxed), worker))
        atomic_store_explicit(&entry->verdict, verdict, memory_order_release);
}

uint32_t sluice_health_verdict(struct sluice_shared *region, int32_t slot, uint64_t key, uint64_t now_ms) {
    struct health_entry *entry = entry_of(region, slot, key);
    if (!entry) return SLUICE_HEALTH_UNKNOWN;
    touch(entry, now_ms);
    return (uint32_t)atomic_load_explicit(&entry->verdict, memory_order_acquire);
}

void sluice_health_eject(struct sluice_shared *region, int32_t slot, uint64_t key, uint64_t until_ms) {
    struct health_entry *entry = entry_of(region, slot, key);
    if (!entry) return;
    uint64_t before = atomic_load_explicit(&entry->ejected_ms, memory_order_relaxed);
    while (before < until_ms && !atomic_compare_exchange_weak(&entry->ejected_ms, &before, until_ms)) {}
}

uint64_t sluice_health_ejected(struct sluice_shared *region, int32_t slot, uint64_t key) {
    struct health_entry *entry = entry_of(region, slot, key);
    return entry ? atomic_load_explicit(&entry->ejected_ms, memory_order_relaxed) : 0;
}
