#include "pages.h"

#include "CNghttp2.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

// Slots are mapped many at a time and never unmapped. Of those that are free some stay resident for the next connection; the
// others have their pages given back.
enum {
    SLOTS = 64,  // in one mapping
    WARM = 64,  // free and resident, for each thread
};

struct slot {
    struct slot *next;  // among those that are free and warm
    uint8_t parts;  // that are in use
    uint8_t shut;  // no part will be taken from it any more
};
enum { SMALL = 1, LARGE = 2 };
#define OF_THREAD static _Thread_local __attribute__((tls_model("initial-exec")))

// Slots belong to the thread that uses them, as blocks do (`memory.c`), and go to whoever frees their last part.
OF_THREAD struct slot *warm;
OF_THREAD size_t warm_count;
OF_THREAD struct slot **cold;
OF_THREAD size_t cold_count, cold_room;
// The slot of which one part has been taken, and the other is wanted next.
OF_THREAD struct slot *begun;

static size_t slot_size(void) {
    static size_t size;
    size_t known = __atomic_load_n(&size, __ATOMIC_RELAXED);
    if (known) return known;
    // Pages are given back slot by slot: none may belong to two.
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    known = (SLUICE_PAGES_SMALL + SLUICE_PAGES_LARGE + page - 1) / page * page;
    __atomic_store_n(&size, known, __ATOMIC_RELAXED);
    return known;
}

size_t sluice_pages_room_small(void) { return SLUICE_PAGES_SMALL - sizeof(struct slot); }
size_t sluice_pages_room_large(void) { return slot_size() - SLUICE_PAGES_SMALL; }

static bool reserve_cold(size_t more) {
    if (cold_count + more <= cold_room) return true;
    size_t room = cold_room * 2 > cold_count + more ? cold_room * 2 : cold_count + more;
    struct slot **larger = realloc(cold, room * sizeof *larger);
    if (!larger) return false;
    cold = larger;
    cold_room = room;
    return true;
}

static bool map_more(void) {
    if (!reserve_cold(SLOTS)) return false;
    size_t size = slot_size();
    char *memory = mmap(NULL, SLOTS * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return false;
    // In pages of 2 MiB what is never touched would be resident too.
    madvise(memory, SLOTS * size, MADV_NOHUGEPAGE);
    for (size_t index = SLOTS; index-- > 0;) cold[cold_count++] = (struct slot *)(memory + index * size);
    return true;
}

static struct slot *take_slot(void) {
    struct slot *slot = warm;
    if (slot) {
        warm = slot->next;
        warm_count--;
    } else {
        if (cold_count == 0 && !map_more()) return NULL;
        slot = cold[--cold_count];
    }
    *slot = (struct slot){0};
    return slot;
}

static void give_slot(struct slot *slot) {
    // Where the system does not take the pages they stay as they are.
    if (warm_count >= WARM && reserve_cold(1) && madvise(slot, slot_size(), MADV_DONTNEED) == 0) {
        cold[cold_count++] = slot;
        return;
    }
    slot->next = warm;
    warm = slot;
    warm_count++;
}

static struct slot *take_part(uint8_t part) {
    if (begun && begun->parts & part) {
        begun->shut = true;
        begun = NULL;
    }
    if (!begun) begun = take_slot();
    struct slot *slot = begun;
    if (!slot) return NULL;
    slot->parts |= part;
    if (slot->parts == (SMALL | LARGE)) {
        slot->shut = true;
        begun = NULL;
    }
    return slot;
}

static void give_part(struct slot *slot, uint8_t part) {
    // Another thread's, which may be about to take its other part: left alone, for ever. No session comes to this, all take both parts.
    if (!slot->shut && slot != begun) return;
    slot->parts &= (uint8_t)~part;
    if (slot->parts == 0 && slot != begun) give_slot(slot);
}

void *sluice_pages_take_small(size_t size) {
    if (size > sluice_pages_room_small()) return NULL;
    struct slot *slot = take_part(SMALL);
    return slot ? slot + 1 : NULL;
}

void *sluice_pages_take_large(size_t size) {
    if (size > sluice_pages_room_large()) return NULL;
    struct slot *slot = take_part(LARGE);
    return slot ? (char *)slot + SLUICE_PAGES_SMALL : NULL;
}

void sluice_pages_give_small(void *part) { give_part((struct slot *)part - 1, SMALL); }
void sluice_pages_give_large(void *part) { give_part((struct slot *)((char *)part - SLUICE_PAGES_SMALL), LARGE); }

size_t sluice_nghttp2_slots_warm(void) { return warm_count; }
size_t sluice_nghttp2_slots_cold(void) { return cold_count; }
