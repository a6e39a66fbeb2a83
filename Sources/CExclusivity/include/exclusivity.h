// Dynamic exclusivity checks of Swift (SE-0176), without the detours of the runtime's own.
//
// A release build links these in the place of swift_beginAccess and swift_endAccess (--wrap, Package.swift): the same
// checks for the same accesses, at a quarter of the price (docs/decisions/0004-exclusivity-without-a-price.md).
#ifndef SLUICE_EXCLUSIVITY_H
#define SLUICE_EXCLUSIVITY_H

#include <stdint.h>

// What the compiler sets aside for one access: the three words of the runtime's ValueBuffer. The runtime owns them
// from begin to end, and the compiler promises not to move them meanwhile.
struct sluice_access {
    void *pointer;  // null: checked, but not tracked
    void *pc;
    uintptr_t next_and_action;  // the access that began before this one; bit 0 says that this one modifies
};

// Flags as the compiler passes them (swift/ABI/MetadataValues.h, ExclusivityFlags).
enum {
    SLUICE_ACCESS_MODIFY = 1,
    SLUICE_ACCESS_TRACKED = 32,
};

// Begins an access to `pointer`. If an access to it is open on this thread and one of the two modifies, the process
// ends with the runtime's message and a trap.
void __wrap_swift_beginAccess(void *pointer, struct sluice_access *access, uintptr_t flags, void *pc);

// Ends an access that was begun on this thread.
void __wrap_swift_endAccess(struct sluice_access *access);

#endif
