#include "series.h"

#include <string.h>

#include "layout.h"

static uint64_t fingerprint(uint32_t kind, const char *name, size_t length) {
    uint64_t value = (0xcbf29ce484222325u ^ kind) * 0x100000001b3u;
    for (size_t i = 0; i < length; i++) value = (value ^ (uint8_t)name[i]) * 0x100000001b3u;
    return value ? value : 1;
}

int32_t sluice_series_slot(struct sluice_shared *region, uint32_t kind, const char *name, size_t length) {
    if (length > SLUICE_SERIES_NAME) length = SLUICE_SERIES_NAME;
    uint64_t key = fingerprint(kind, name, length);
    for (uint32_t step = 0; step < SLUICE_SERIES_ENTRIES; step++) {
        uint32_t index = (uint32_t)((key + step) % SLUICE_SERIES_ENTRIES);
        struct series_entry *entry = &region->series[index];
        uint64_t owner = atomic_load_explicit(&entry->key, memory_order_acquire);
        if (owner == key) return (int32_t)index;
        if (owner != 0) continue;
        if (!atomic_compare_exchange_strong(&entry->key, &owner, key)) {
            if (owner == key) return (int32_t)index;
            continue;
        }
        memcpy(entry->name, name, length);
        entry->length = (uint32_t)length;
        // Whoever sees the kind sees the name as well.
        atomic_store_explicit(&entry->kind, kind, memory_order_release);
        return (int32_t)index;
    }
    return -1;
}

void sluice_series_add(struct sluice_shared *region, int32_t slot, const uint64_t *words, uint32_t count) {
    if (slot < 0 || slot >= SLUICE_SERIES_ENTRIES) return;
    for (uint32_t i = 0; i < count && i < SLUICE_SERIES_WORDS; i++)
        if (words[i]) atomic_fetch_add_explicit(&region->series[slot].words[i], words[i], memory_order_relaxed);
}

uint32_t sluice_series_read(struct sluice_shared *region, int32_t slot, char name[SLUICE_SERIES_NAME + 1], uint64_t *words,
                            uint32_t count) {
    if (slot < 0 || slot >= SLUICE_SERIES_ENTRIES) return 0;
    struct series_entry *entry = &region->series[slot];
    uint32_t kind = atomic_load_explicit(&entry->kind, memory_order_acquire);
    if (kind == 0) return 0;
    uint32_t length = entry->length <= SLUICE_SERIES_NAME ? entry->length : SLUICE_SERIES_NAME;
    memcpy(name, entry->name, length);
    name[length] = 0;
    for (uint32_t i = 0; i < count && i < SLUICE_SERIES_WORDS; i++)
        words[i] = atomic_load_explicit(&entry->words[i], memory_order_relaxed);
    return kind;
}
