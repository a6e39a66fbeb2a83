#include "CNghttp2.h"

#include "pages.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// A stream costs nghttp2 six to ten blocks of a few sizes, made at its beginning and freed at its end. Kept in lists by
// size they are one jump away, without the locked instructions that the C library needs in a process with threads.
enum {
    STEP = 32,
    CLASSES = 256,  // blocks of up to 8 KiB
    MOST_KEPT = 1 << 20,  // bytes in all lists of a thread
    LARGE = CLASSES,
    SLOT_SMALL,
    SLOT_LARGE,
};
// A session has one zeroed block of 2.9 KiB, itself, and one of 16 KiB for the frame that it is about to send, of which only the
// first few hundred bytes are ever touched where answers are as usual (nghttp2 1.52). They share a slot of pages. Where a size
// is another than these, memory is lost and nothing else.
enum {
    SESSION_LEAST = 2 << 10,
    FRAME_LEAST = 16 << 10,
};

// Stands before what nghttp2 gets.
struct block {
    size_t class;
    struct block *next;  // in a list
};
_Static_assert(sizeof(struct block) == 16, "what follows a block's head is aligned as malloc's memory is");

// Lists belong to the thread: a session is used by one, and a block goes to the lists of whoever frees it.
static _Thread_local struct block *lists[CLASSES] __attribute__((tls_model("initial-exec")));
static _Thread_local size_t kept __attribute__((tls_model("initial-exec")));

static size_t room(size_t class) { return (class + 1) * STEP; }

static void *take(size_t size, void *unused) {
    (void)unused;
    size_t class = size == 0 ? 0 : (size - 1) / STEP;
    if (class >= CLASSES) {
        if (size >= FRAME_LEAST && size <= SLUICE_PAGES_LARGE) {
            struct block *frame = sluice_pages_take_large(sizeof *frame + size);
            if (frame) {
                frame->class = SLOT_LARGE;
                return frame + 1;
            }
        }
        if (size > SIZE_MAX - sizeof(struct block)) return NULL;
        struct block *large = malloc(sizeof *large + size);
        if (!large) return NULL;
        large->class = LARGE;
        return large + 1;
    }
    struct block *block = lists[class];
    if (block) {
        lists[class] = block->next;
        kept -= room(class);
        return block + 1;
    }
    block = malloc(sizeof *block + room(class));
    if (!block) return NULL;
    block->class = class;
    return block + 1;
}

static void give(void *memory, void *unused) {
    (void)unused;
    if (!memory) return;
    struct block *block = (struct block *)memory - 1;
    if (block->class == SLOT_SMALL) return sluice_pages_give_small(block);
    if (block->class == SLOT_LARGE) return sluice_pages_give_large(block);
    if (block->class >= CLASSES || kept >= MOST_KEPT) {
        free(block);
        return;
    }
    kept += room(block->class);
    block->next = lists[block->class];
    lists[block->class] = block;
}

static void *take_zeroed(size_t count, size_t size, void *unused) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    if (bytes >= SESSION_LEAST && bytes <= SLUICE_PAGES_SMALL) {
        struct block *session = sluice_pages_take_small(sizeof *session + bytes);
        if (session) {
            session->class = SLOT_SMALL;
            return memset(session + 1, 0, bytes);
        }
    }
    void *memory = take(bytes, unused);
    return memory ? memset(memory, 0, bytes) : NULL;
}

// Bytes that a block has at least, where it is to become one of `size`.
static size_t held(const struct block *block, size_t size) {
    switch (block->class) {
    case LARGE: return size < room(CLASSES - 1) ? size : room(CLASSES - 1);
    case SLOT_SMALL: return sluice_pages_room_small() - sizeof *block;
    case SLOT_LARGE: return sluice_pages_room_large() - sizeof *block;
    default: return room(block->class);
    }
}

static void *resize(void *memory, size_t size, void *unused) {
    if (!memory) return take(size, unused);
    struct block *block = (struct block *)memory - 1;
    if (block->class != LARGE && size <= held(block, size)) return memory;
    if (block->class == LARGE && size > room(CLASSES - 1)) {
        if (size > SIZE_MAX - sizeof *block) return NULL;
        struct block *larger = realloc(block, sizeof *block + size);
        return larger ? larger + 1 : NULL;
    }
    void *fresh = take(size, unused);
    if (!fresh) return NULL;
    size_t filled = held(block, size);
    memcpy(fresh, memory, filled < size ? filled : size);
    give(memory, unused);
    return fresh;
}

#if defined(__SANITIZE_ADDRESS__) || (defined(__has_feature) && __has_feature(address_sanitizer))
// Only the C library's own blocks show who uses them after their end.
nghttp2_mem *sluice_nghttp2_memory(void) {
    (void)take, (void)give, (void)take_zeroed, (void)resize;
    return NULL;
}
#else
nghttp2_mem *sluice_nghttp2_memory(void) {
    static nghttp2_mem memory = {NULL, take, give, take_zeroed, resize};
    return &memory;
}
#endif

void *sluice_nghttp2_take(size_t size) {
    nghttp2_mem *memory = sluice_nghttp2_memory();
    return memory ? memory->malloc(size, NULL) : malloc(size);
}

void sluice_nghttp2_give(void *block) {
    nghttp2_mem *memory = sluice_nghttp2_memory();
    if (memory) memory->free(block, NULL);
    else free(block);
}

size_t sluice_nghttp2_memory_kept(void) { return kept; }
