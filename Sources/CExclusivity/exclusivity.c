#include "exclusivity.h"

#include <stdio.h>
#include <stdlib.h>

// The runtime's own, for its message. Absent where nothing is wrapped: in debug builds and in tests.
extern void __real_swift_beginAccess(void *pointer, struct sluice_access *access, uintptr_t flags, void *pc) __attribute__((weak));

// Accesses that are open on this thread, the youngest first. Code that suspends in the middle of an access would take
// it to another thread; there is no `async` function in any room, and the tidy test keeps it so.
static _Thread_local struct sluice_access *youngest __attribute__((tls_model("initial-exec")));

static struct sluice_access *before(const struct sluice_access *access) {
    return (struct sluice_access *)(access->next_and_action & ~(uintptr_t)SLUICE_ACCESS_MODIFY);
}

// Lets the runtime see both accesses, so that the message, the backtrace and the trap are its own.
__attribute__((noinline, cold, noreturn)) static void conflict(
    const struct sluice_access *first, void *pointer, uintptr_t flags, void *pc) {
    if (__real_swift_beginAccess) {
        struct sluice_access old, new;
        __real_swift_beginAccess(pointer, &old, SLUICE_ACCESS_TRACKED | (first->next_and_action & SLUICE_ACCESS_MODIFY), first->pc);
        __real_swift_beginAccess(pointer, &new, flags, pc);
    }
    fprintf(stderr, "Simultaneous accesses to %p, but modification requires exclusive access.\n", pointer);
    abort();
}

static inline void open_access(
    void *pointer, struct sluice_access *access, uintptr_t flags, void *pc, struct sluice_access *top) {
    if (!(flags & SLUICE_ACCESS_TRACKED)) {
        access->pointer = NULL;
        return;
    }
    access->pointer = pointer;
    access->pc = pc;
    access->next_and_action = (uintptr_t)top | (flags & SLUICE_ACCESS_MODIFY);
    youngest = access;
}

// A function of its own, called last: the one without open accesses needs no frame.
__attribute__((noinline)) static void begin_within(
    void *pointer, struct sluice_access *access, uintptr_t flags, void *pc, struct sluice_access *top) {
    for (const struct sluice_access *open = top; open != NULL; open = before(open)) {
        if (__builtin_expect(open->pointer == pointer, 0) && ((open->next_and_action | flags) & SLUICE_ACCESS_MODIFY)) {
            conflict(open, pointer, flags, pc);
        }
    }
    open_access(pointer, access, flags, pc, top);
}

void __wrap_swift_beginAccess(void *pointer, struct sluice_access *access, uintptr_t flags, void *pc) {
    struct sluice_access *const top = youngest;
    // More than half: nothing is open that it could conflict with, and nothing to remember. Tested first, because finding out
    // who asks takes a frame.
    if (top == NULL && !(flags & SLUICE_ACCESS_TRACKED)) {
        access->pointer = NULL;
        return;
    }
    if (pc == NULL) { pc = __builtin_return_address(0); }
    if (__builtin_expect(top != NULL, 0)) { return begin_within(pointer, access, flags, pc, top); }
    open_access(pointer, access, flags, pc, NULL);
}

void __wrap_swift_endAccess(struct sluice_access *access) {
    if (access->pointer == NULL) { return; }
    struct sluice_access *open = youngest;
    if (__builtin_expect(open == access, 1)) {
        youngest = before(access);
        return;
    }
    // Accesses nearly always end in the reverse order of their beginning; this one does not.
    while (open != NULL) {
        struct sluice_access *const older = before(open);
        if (older == access) {
            open->next_and_action = (uintptr_t)before(access) | (open->next_and_action & SLUICE_ACCESS_MODIFY);
            return;
        }
        open = older;
    }
    fprintf(stderr, "An access that is not open was ended.\n");
    abort();
}
