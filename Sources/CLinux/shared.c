#define _GNU_SOURCE
#include "shared.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout.h"

size_t sluice_shared_size(void) { return sizeof(struct sluice_shared); }

static struct sluice_shared *map(int fd, int *error) {
    void *memory = mmap(NULL, sizeof(struct sluice_shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED) return memory;
    *error = -errno;
    return NULL;
}

int sluice_shared_create(void) {
    int fd = memfd_create("sluice-shared", MFD_CLOEXEC | MFD_ALLOW_SEALING), error = 0;
    if (fd < 0) return -errno;
    if (ftruncate(fd, sizeof(struct sluice_shared)) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        error = -errno;
    struct sluice_shared *region = error ? NULL : map(fd, &error);
    if (!region) {
        close(fd);
        return error;
    }
    region->magic = SLUICE_SHARED_MAGIC;
    region->version = SLUICE_SHARED_VERSION;
    region->size = sizeof(struct sluice_shared);
    // 16 bytes come whole or not at all.
    ssize_t drawn = getrandom(region->rates.secret, sizeof region->rates.secret, 0);
    error = drawn == sizeof region->rates.secret ? 0 : -EIO;
    sluice_shared_unmap(region);
    if (!error) return fd;
    close(fd);
    return error;
}

struct sluice_shared *sluice_shared_map(int fd, int *error) {
    struct stat status;
    *error = 0;
    if (fstat(fd, &status) < 0) {
        *error = -errno;
        return NULL;
    }
    // A file that could shrink under the mapping would turn a read into SIGBUS.
    int seals = fcntl(fd, F_GET_SEALS);
    if (status.st_size != sizeof(struct sluice_shared) || seals < 0 || !(seals & F_SEAL_SHRINK)) {
        *error = -EINVAL;
        return NULL;
    }
    struct sluice_shared *region = map(fd, error);
    if (!region) return NULL;
    if (region->magic == SLUICE_SHARED_MAGIC && region->version == SLUICE_SHARED_VERSION) return region;
    sluice_shared_unmap(region);
    *error = -EPROTO;
    return NULL;
}

void sluice_shared_unmap(struct sluice_shared *region) { munmap(region, sizeof(struct sluice_shared)); }

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

void sluice_shared_publish(struct sluice_shared *region, uint32_t worker, const uint64_t *words, uint32_t count) {
    _Atomic uint64_t *target = region->workers[worker].words;
    count = smaller(count, SLUICE_SHARED_WORDS);
    for (uint32_t i = 0; i < count; i++) atomic_store_explicit(&target[i], words[i], memory_order_relaxed);
}

void sluice_shared_beat(struct sluice_shared *region, uint32_t worker, uint64_t now_ns) {
    atomic_store_explicit(&region->workers[worker].heartbeat_ns, now_ns, memory_order_relaxed);
}

void sluice_running_enter(struct sluice_shared *region, uint32_t worker, const struct sluice_running_label *label,
                          uint64_t request_high, uint64_t request_low, uint64_t started_ns, uint64_t deadline_ns,
                          uint64_t generation) {
    struct worker_area *area = &region->workers[worker];
    // The same rule runs again and again: its texts are already there.
    if (area->label.identity != label->identity) memcpy(&area->label, label, sizeof *label);
    atomic_store_explicit(&area->request_high, request_high, memory_order_relaxed);
    atomic_store_explicit(&area->request_low, request_low, memory_order_relaxed);
    atomic_store_explicit(&area->started_ns, started_ns, memory_order_relaxed);
    atomic_store_explicit(&area->deadline_ns, deadline_ns, memory_order_relaxed);
    atomic_store_explicit(&area->generation, generation, memory_order_relaxed);
    uint64_t next = atomic_load_explicit(&area->sequence, memory_order_relaxed) + 1;
    atomic_store_explicit(&area->sequence, next, memory_order_relaxed);
    atomic_store_explicit(&area->running, 1, memory_order_release);
}

void sluice_running_leave(struct sluice_shared *region, uint32_t worker) {
    atomic_store_explicit(&region->workers[worker].running, 0, memory_order_release);
}

void sluice_shared_reset(struct sluice_shared *region, uint32_t worker) {
    memset(&region->workers[worker], 0, sizeof region->workers[worker]);
}

void sluice_shared_words(struct sluice_shared *region, uint32_t worker, uint64_t *words, uint32_t count) {
    _Atomic uint64_t *source = region->workers[worker].words;
    count = smaller(count, SLUICE_SHARED_WORDS);
    for (uint32_t i = 0; i < count; i++) words[i] = atomic_load_explicit(&source[i], memory_order_relaxed);
}

uint64_t sluice_shared_heartbeat(struct sluice_shared *region, uint32_t worker) {
    return atomic_load_explicit(&region->workers[worker].heartbeat_ns, memory_order_relaxed);
}

uint64_t sluice_running_deadline(struct sluice_shared *region, uint32_t worker) {
    struct worker_area *area = &region->workers[worker];
    if (!atomic_load_explicit(&area->running, memory_order_acquire)) return 0;
    return atomic_load_explicit(&area->deadline_ns, memory_order_relaxed);
}

void sluice_running_copy(struct sluice_shared *region, uint32_t worker, struct sluice_running *out) {
    struct worker_area *area = &region->workers[worker];
    memset(out, 0, sizeof *out);
    out->running = atomic_load_explicit(&area->running, memory_order_acquire);
    out->sequence = atomic_load_explicit(&area->sequence, memory_order_relaxed);
    out->started_ns = atomic_load_explicit(&area->started_ns, memory_order_relaxed);
    out->deadline_ns = atomic_load_explicit(&area->deadline_ns, memory_order_relaxed);
    out->generation = atomic_load_explicit(&area->generation, memory_order_relaxed);
    memcpy(&out->label, &area->label, sizeof out->label);
    out->request_high = atomic_load_explicit(&area->request_high, memory_order_relaxed);
    out->request_low = atomic_load_explicit(&area->request_low, memory_order_relaxed);
    // The lengths come from another process: cut them to what the arrays hold.
    out->label.function_count = (uint16_t)smaller(out->label.function_count, SLUICE_FUNCTION_BYTES);
    out->label.rule_count = (uint16_t)smaller(out->label.rule_count, SLUICE_RULE_BYTES);
    out->label.place_count = (uint16_t)smaller(out->label.place_count, SLUICE_PLACE_BYTES);
}

void sluice_strikes_set(struct sluice_shared *region, uint32_t index, const char *function, uint32_t count,
                        uint32_t strikes, uint32_t fenced) {
    struct strike_entry *entry = &region->strikes[index % SLUICE_SHARED_STRIKES];
    entry->count = smaller(count, SLUICE_FUNCTION_BYTES);
    memcpy(entry->function, function, entry->count);
    atomic_store_explicit(&entry->fenced, fenced, memory_order_relaxed);
    atomic_store_explicit(&entry->strikes, strikes, memory_order_release);
}

uint32_t sluice_strikes_get(struct sluice_shared *region, uint32_t index, char *function, uint32_t capacity,
                            uint32_t *count, uint32_t *fenced) {
    struct strike_entry *entry = &region->strikes[index % SLUICE_SHARED_STRIKES];
    uint32_t strikes = atomic_load_explicit(&entry->strikes, memory_order_acquire);
    *fenced = atomic_load_explicit(&entry->fenced, memory_order_relaxed);
    *count = smaller(smaller(entry->count, SLUICE_FUNCTION_BYTES), capacity);
    memcpy(function, entry->function, *count);
    return strikes;
}
