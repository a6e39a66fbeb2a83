// Memory of which only what is written becomes resident.
#ifndef SLUICE_PAGES_H
#define SLUICE_PAGES_H

#include <stddef.h>

// A slot is some pages in a row. It has two parts: a small one, and a large one that begins on the small one's page and of
// which usually little is ever touched. Who takes one of each, one after the other, gets both from the same slot.
enum {
    SLUICE_PAGES_SMALL = 3072,  // bytes before the large part, the slot's own included
    SLUICE_PAGES_LARGE = 17408,  // at least; the rest of the slot's last page comes on top
};

// Null where `size` does not fit, and where there is no memory. What it held before is not cleared.
void *sluice_pages_take_small(size_t size);
void *sluice_pages_take_large(size_t size);
void sluice_pages_give_small(void *part);
void sluice_pages_give_large(void *part);
// Bytes that such a part has.
size_t sluice_pages_room_small(void);
size_t sluice_pages_room_large(void);

#endif
