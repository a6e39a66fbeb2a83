#define _GNU_SOURCE
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// Cursors count bytes since the beginning and never wrap in practice; each lives on a cache line of its writer.
struct ring_cursors {
    _Alignas(64) _Atomic uint64_t head;           // moved by the writer
    _Alignas(64) _Atomic uint64_t tail;           // moved by the reader
    _Alignas(64) _Atomic uint32_t waiting[2];     // [0] the writer waits for room, [1] the reader for bytes
};

struct sluice_rings {
    struct ring_cursors cursors[2];
    _Alignas(64) _Atomic uint64_t running;
    _Alignas(4096) unsigned char bytes[2][SLUICE_RING_BYTES];
    _Alignas(4096) unsigned char slabs[SLUICE_SHARED_SLABS][SLUICE_SHARED_SLAB_BYTES];
};

_Static_assert((SLUICE_RING_BYTES & (SLUICE_RING_BYTES - 1)) == 0, "a power of two");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared memory needs lock-free 64-bit atomics");

int sluice_rings_create(void) {
    int fd = memfd_create("sluice-cordon", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return -errno;
    if (ftruncate(fd, sizeof(struct sluice_rings)) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

struct sluice_rings *sluice_rings_map(int fd, int *error) {
    struct stat status;
    *error = 0;
    int seals = fcntl(fd, F_GET_SEALS);
    if (fstat(fd, &status) < 0) {
        *error = -errno;
    } else if (status.st_size != sizeof(struct sluice_rings) || seals < 0 || !(seals & F_SEAL_SHRINK)) {
        *error = -EINVAL;
    }
    if (*error) return NULL;
    void *memory = mmap(NULL, sizeof(struct sluice_rings), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED) return memory;
    *error = -errno;
    return NULL;
}

void *sluice_rings_slabs(struct sluice_rings *rings) { return rings->slabs; }

void sluice_rings_unmap(struct sluice_rings *rings) { munmap(rings, sizeof(struct sluice_rings)); }

static void copy_in(unsigned char *ring, uint64_t at, const unsigned char *bytes, size_t count) {
    if (count == 0) return;  // then `bytes` may be NULL
    size_t offset = at & (SLUICE_RING_BYTES - 1), first = SLUICE_RING_BYTES - offset;
    if (first > count) first = count;
    memcpy(ring + offset, bytes, first);
    memcpy(ring, bytes + first, count - first);
}

static void copy_out(const unsigned char *ring, uint64_t at, unsigned char *bytes, size_t count) {
    size_t offset = at & (SLUICE_RING_BYTES - 1), first = SLUICE_RING_BYTES - offset;
    if (first > count) first = count;
    memcpy(bytes, ring + offset, first);
    memcpy(bytes + first, ring, count - first);
}

int64_t sluice_ring_write(struct sluice_rings *rings, int direction, uint64_t *head, const void *bytes, size_t count) {
    struct ring_cursors *cursors = &rings->cursors[direction & 1];
    uint64_t used = *head - atomic_load_explicit(&cursors->tail, memory_order_acquire);
    if (used > SLUICE_RING_BYTES) return -EBADMSG;
    if (count > SLUICE_RING_BYTES - used) count = SLUICE_RING_BYTES - used;
    copy_in(rings->bytes[direction & 1], *head, bytes, count);
    *head += count;
    atomic_store_explicit(&cursors->head, *head, memory_order_release);
    return (int64_t)count;
}

int64_t sluice_ring_readable(struct sluice_rings *rings, int direction, uint64_t tail) {
    uint64_t ready = atomic_load_explicit(&rings->cursors[direction & 1].head, memory_order_acquire) - tail;
    return ready > SLUICE_RING_BYTES ? -EBADMSG : (int64_t)ready;
}

int64_t sluice_ring_read(struct sluice_rings *rings, int direction, uint64_t *tail, void *bytes, size_t capacity) {
    int64_t ready = sluice_ring_readable(rings, direction, *tail);
    if (ready <= 0) return ready;
    size_t count = (uint64_t)ready > capacity ? capacity : (size_t)ready;
    copy_out(rings->bytes[direction & 1], *tail, bytes, count);
    *tail += count;
    atomic_store_explicit(&rings->cursors[direction & 1].tail, *tail, memory_order_release);
    return (int64_t)count;
}

void sluice_ring_waits(struct sluice_rings *rings, int direction, int reader) {
    atomic_store_explicit(&rings->cursors[direction & 1].waiting[reader & 1], 1, memory_order_seq_cst);
    // The look at the peer's cursor that follows must not come before this store.
    atomic_thread_fence(memory_order_seq_cst);
}

int sluice_ring_take_waiting(struct sluice_rings *rings, int direction, int reader) {
    _Atomic uint32_t *waiting = &rings->cursors[direction & 1].waiting[reader & 1];
    // The cursor moved before this call; its store must not come after the look.
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(waiting, memory_order_relaxed) == 0) return 0;
    return atomic_exchange_explicit(waiting, 0, memory_order_seq_cst) != 0;
}

void sluice_rings_running(struct sluice_rings *rings, uint64_t call) {
    atomic_store_explicit(&rings->running, call, memory_order_relaxed);
}

uint64_t sluice_rings_last_running(struct sluice_rings *rings) {
    return atomic_load_explicit(&rings->running, memory_order_relaxed);
}
