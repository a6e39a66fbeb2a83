// Two byte rings in one memfd, one for each direction, between two processes of which neither trusts the other.
// No policy lives here.
//
// A side keeps its own cursors in private memory and passes them in: what it reads from the shared page is only the
// peer's cursor, which is checked against its own. Bytes are copied out before anybody looks at them, so nothing the
// peer does afterwards can change what was checked.
#ifndef SLUICE_RING_H
#define SLUICE_RING_H

#include <stddef.h>
#include <stdint.h>

enum { SLUICE_RING_BYTES = 256 * 1024 };     // of one direction; a power of two
// Behind the rings: memory for chunks of bodies, in pages that are used only when they are. Whoever writes there may be read
// while it writes.
enum { SLUICE_SHARED_SLABS = 64, SLUICE_SHARED_SLAB_BYTES = 64 * 1024 };

struct sluice_rings;                         // the layout is in ring.c

// Makes a zeroed memfd whose size can never change again: a peer that shrinks it would be a SIGBUS for us.
int sluice_rings_create(void);
// Maps it. NULL and `*error` (negative errno) when it has another size or could shrink.
struct sluice_rings *sluice_rings_map(int fd, int *error);
void sluice_rings_unmap(struct sluice_rings *rings);
void *sluice_rings_slabs(struct sluice_rings *rings);

// `direction` is 0 or 1. Each answers a count of bytes, or -EBADMSG when the peer's cursor is impossible.
// Writes as much as there is room for and moves `*head`.
int64_t sluice_ring_write(struct sluice_rings *rings, int direction, uint64_t *head, const void *bytes, size_t count);
// Copies out at most `capacity` bytes and moves `*tail`.
int64_t sluice_ring_read(struct sluice_rings *rings, int direction, uint64_t *tail, void *bytes, size_t capacity);
int64_t sluice_ring_readable(struct sluice_rings *rings, int direction, uint64_t tail);

// Sleeping. A side that is about to wait says so for both directions (data to read, room to write) and then looks once
// more; the other side asks after each read and write whether it must signal the eventfd.
void sluice_ring_waits(struct sluice_rings *rings, int direction, int reader);
// 1 when that side waits; it is taken as told then.
int sluice_ring_take_waiting(struct sluice_rings *rings, int direction, int reader);

// Who runs JavaScript now: written by the cordon (direction 1's writer) for whoever has to judge it after its death.
// A hint: a hostile cordon can lie about its own tenant's calls and nobody else's.
void sluice_rings_running(struct sluice_rings *rings, uint64_t call);
uint64_t sluice_rings_last_running(struct sluice_rings *rings);

#endif
