// nghttp2 as plain C.
#ifndef SLUICE_CNGHTTP2_H
#define SLUICE_CNGHTTP2_H

#include <nghttp2/nghttp2.h>

// Memory for sessions that keeps freed blocks for the next stream, by thread, 1 MiB at most. Null (the C library's own)
// where a sanitizer watches.
nghttp2_mem *sluice_nghttp2_memory(void);
// Bytes that the caller's thread keeps.
size_t sluice_nghttp2_memory_kept(void);
// A block of the same memory, for a short while; null when there is none. Up to 8 KiB are kept like nghttp2's own.
void *sluice_nghttp2_take(size_t size);
void sluice_nghttp2_give(void *block);
// Slots of pages (`pages.h`) that are free: some of them resident, the others not.
size_t sluice_nghttp2_slots_warm(void);
size_t sluice_nghttp2_slots_cold(void);

#endif
